-- Run 0123456789abcdef of 2025-03-31, published by shoal 0.1.0, for databricks.
-- To be run with a SQL warehouse or a notebook, which stop at the first fault. Each table changes at once, one after the other.

-- nothing
CREATE TABLE IF NOT EXISTS `main`.`crm`.`nothing` (
  `ds` DATE,
  `customer_id` STRING,
  `as_of` TIMESTAMP,
  `score` DOUBLE,
  `added` DOUBLE,
  `visits` BIGINT,
  `segment_id` INT,
  `active` BOOLEAN,
  `next_purchase` DATE,
  `value` DECIMAL(18, 4),
  `select` STRING,
  `token` BINARY,
  `digest` BINARY
)
USING DELTA PARTITIONED BY (`ds`);
CREATE OR REPLACE TABLE `main`.`crm`.`nothing__load` (
  `customer_id` STRING,
  `as_of` TIMESTAMP,
  `score` DOUBLE,
  `added` DOUBLE,
  `visits` BIGINT,
  `segment_id` INT,
  `active` BOOLEAN,
  `next_purchase` DATE,
  `value` DECIMAL(18, 4),
  `select` STRING,
  `token` BINARY,
  `digest` BINARY
)
USING DELTA;
SELECT assert_true(COUNT(*) = 0, 'nothing: the rows loaded are not the 0 of run 0123456789abcdef') FROM `main`.`crm`.`nothing__load`;
INSERT WITH SCHEMA EVOLUTION INTO TABLE `main`.`crm`.`nothing` BY NAME
REPLACE WHERE `ds` = DATE '2025-03-31'
SELECT DATE '2025-03-31' AS `ds`, `customer_id`, `as_of`, `score`, `added`, `visits`, `segment_id`, `active`, `next_purchase`, `value`, `select`, `token`, `digest` FROM `main`.`crm`.`nothing__load`;
DROP TABLE `main`.`crm`.`nothing__load`;

-- scores
CREATE TABLE IF NOT EXISTS `main`.`crm`.`scores` (
  `ds` DATE,
  `customer_id` STRING,
  `as_of` TIMESTAMP,
  `score` DOUBLE,
  `added` DOUBLE,
  `visits` BIGINT,
  `segment_id` INT,
  `active` BOOLEAN,
  `next_purchase` DATE,
  `value` DECIMAL(18, 4),
  `select` STRING,
  `token` BINARY,
  `digest` BINARY
)
USING DELTA PARTITIONED BY (`ds`);
CREATE OR REPLACE TABLE `main`.`crm`.`scores__load` (
  `customer_id` STRING,
  `as_of` TIMESTAMP,
  `score` DOUBLE,
  `added` DOUBLE,
  `visits` BIGINT,
  `segment_id` INT,
  `active` BOOLEAN,
  `next_purchase` DATE,
  `value` DECIMAL(18, 4),
  `select` STRING,
  `token` BINARY,
  `digest` BINARY
)
USING DELTA;
COPY INTO `main`.`crm`.`scores__load`
FROM (SELECT `customer_id`, `as_of`, `score`, `added`, `visits`, `segment_id`, `active`, `next_purchase`, `value`, `select`, `token`, `digest` FROM 'abfss://lake@account.dfs.core.windows.net/shoal/scores/ds=2025-03-31/run=0123456789abcdef')
FILEFORMAT = PARQUET
FILES = (
  'part-00000.parquet',
  'part-00001.parquet'
)
COPY_OPTIONS ('force' = 'true');
SELECT assert_true(COUNT(*) = 300, 'scores: the rows loaded are not the 300 of run 0123456789abcdef') FROM `main`.`crm`.`scores__load`;
INSERT WITH SCHEMA EVOLUTION INTO TABLE `main`.`crm`.`scores` BY NAME
REPLACE WHERE `ds` = DATE '2025-03-31'
SELECT DATE '2025-03-31' AS `ds`, `customer_id`, `as_of`, `score`, `added`, `visits`, `segment_id`, `active`, `next_purchase`, `value`, `select`, `token`, `digest` FROM `main`.`crm`.`scores__load`;
DROP TABLE `main`.`crm`.`scores__load`;
