-- Run 0123456789abcdef of 2025-03-31, published by shoal 0.1.0, for bigquery.
-- To be run with bq query --use_legacy_sql=false < this file, as one script: it stops at the first fault, and its transaction changes all tables at once.

-- nothing
CREATE TABLE IF NOT EXISTS `my-project`.`crm`.`nothing` (
  `ds` DATE,
  `customer_id` STRING,
  `as_of` TIMESTAMP,
  `score` FLOAT64,
  `added` FLOAT64,
  `visits` INT64,
  `segment_id` INT64,
  `active` BOOL,
  `next_purchase` DATE,
  `value` NUMERIC(18, 4),
  `select` STRING,
  `token` BYTES,
  `digest` BYTES
)
PARTITION BY `ds`;
ALTER TABLE `my-project`.`crm`.`nothing`
  ADD COLUMN IF NOT EXISTS `customer_id` STRING,
  ADD COLUMN IF NOT EXISTS `as_of` TIMESTAMP,
  ADD COLUMN IF NOT EXISTS `score` FLOAT64,
  ADD COLUMN IF NOT EXISTS `added` FLOAT64,
  ADD COLUMN IF NOT EXISTS `visits` INT64,
  ADD COLUMN IF NOT EXISTS `segment_id` INT64,
  ADD COLUMN IF NOT EXISTS `active` BOOL,
  ADD COLUMN IF NOT EXISTS `next_purchase` DATE,
  ADD COLUMN IF NOT EXISTS `value` NUMERIC(18, 4),
  ADD COLUMN IF NOT EXISTS `select` STRING,
  ADD COLUMN IF NOT EXISTS `token` BYTES,
  ADD COLUMN IF NOT EXISTS `digest` BYTES;
CREATE TEMP TABLE `nothing__load` (
  `customer_id` STRING,
  `as_of` TIMESTAMP,
  `score` FLOAT64,
  `added` FLOAT64,
  `visits` INT64,
  `segment_id` INT64,
  `active` BOOL,
  `next_purchase` DATE,
  `value` NUMERIC(18, 4),
  `select` STRING,
  `token` BYTES,
  `digest` BYTES
);
ASSERT (SELECT COUNT(*) FROM `nothing__load`) = 0 AS 'nothing: the rows loaded are not the 0 of run 0123456789abcdef';

-- scores
CREATE TABLE IF NOT EXISTS `my-project`.`crm`.`scores` (
  `ds` DATE,
  `customer_id` STRING,
  `as_of` TIMESTAMP,
  `score` FLOAT64,
  `added` FLOAT64,
  `visits` INT64,
  `segment_id` INT64,
  `active` BOOL,
  `next_purchase` DATE,
  `value` NUMERIC(18, 4),
  `select` STRING,
  `token` BYTES,
  `digest` BYTES
)
PARTITION BY `ds`;
ALTER TABLE `my-project`.`crm`.`scores`
  ADD COLUMN IF NOT EXISTS `customer_id` STRING,
  ADD COLUMN IF NOT EXISTS `as_of` TIMESTAMP,
  ADD COLUMN IF NOT EXISTS `score` FLOAT64,
  ADD COLUMN IF NOT EXISTS `added` FLOAT64,
  ADD COLUMN IF NOT EXISTS `visits` INT64,
  ADD COLUMN IF NOT EXISTS `segment_id` INT64,
  ADD COLUMN IF NOT EXISTS `active` BOOL,
  ADD COLUMN IF NOT EXISTS `next_purchase` DATE,
  ADD COLUMN IF NOT EXISTS `value` NUMERIC(18, 4),
  ADD COLUMN IF NOT EXISTS `select` STRING,
  ADD COLUMN IF NOT EXISTS `token` BYTES,
  ADD COLUMN IF NOT EXISTS `digest` BYTES;
LOAD DATA OVERWRITE TEMP TABLE `scores__load` (
  `customer_id` STRING,
  `as_of` TIMESTAMP,
  `score` FLOAT64,
  `added` FLOAT64,
  `visits` INT64,
  `segment_id` INT64,
  `active` BOOL,
  `next_purchase` DATE,
  `value` NUMERIC(18, 4),
  `select` STRING,
  `token` BYTES,
  `digest` BYTES
)
FROM FILES (
  format = 'PARQUET',
  uris = [
    'gs://lake/shoal/scores/ds=2025-03-31/run=0123456789abcdef/part-00000.parquet',
    'gs://lake/shoal/scores/ds=2025-03-31/run=0123456789abcdef/part-00001.parquet'
  ]
);
ASSERT (SELECT COUNT(*) FROM `scores__load`) = 300 AS 'scores: the rows loaded are not the 300 of run 0123456789abcdef';
BEGIN TRANSACTION;

-- nothing
DELETE FROM `my-project`.`crm`.`nothing` WHERE `ds` = DATE '2025-03-31';
INSERT INTO `my-project`.`crm`.`nothing` (`ds`, `customer_id`, `as_of`, `score`, `added`, `visits`, `segment_id`, `active`, `next_purchase`, `value`, `select`, `token`, `digest`)
SELECT DATE '2025-03-31', `customer_id`, `as_of`, `score`, `added`, `visits`, `segment_id`, `active`, `next_purchase`, `value`, `select`, `token`, `digest` FROM `nothing__load`;

-- scores
DELETE FROM `my-project`.`crm`.`scores` WHERE `ds` = DATE '2025-03-31';
INSERT INTO `my-project`.`crm`.`scores` (`ds`, `customer_id`, `as_of`, `score`, `added`, `visits`, `segment_id`, `active`, `next_purchase`, `value`, `select`, `token`, `digest`)
SELECT DATE '2025-03-31', `customer_id`, `as_of`, `score`, `added`, `visits`, `segment_id`, `active`, `next_purchase`, `value`, `select`, `token`, `digest` FROM `scores__load`;
COMMIT TRANSACTION;
