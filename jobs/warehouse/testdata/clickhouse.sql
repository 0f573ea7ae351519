-- Run 0123456789abcdef of 2025-03-31, published by shoal 0.1.0, for clickhouse.
-- To be run with clickhouse-client --queries-file this file; it stops at the first fault. Each table changes at once, one after the other.

-- nothing
CREATE TABLE IF NOT EXISTS `crm`.`nothing` (
  `ds` Date,
  `customer_id` Nullable(String),
  `as_of` Nullable(DateTime64(6, 'UTC')),
  `score` Nullable(Float64),
  `added` Nullable(Float64),
  `visits` Nullable(Int64),
  `segment_id` Nullable(Int32),
  `active` Nullable(Bool),
  `next_purchase` Nullable(Date32),
  `value` Nullable(Decimal(18, 4)),
  `select` Nullable(String),
  `token` Nullable(FixedString(16)),
  `digest` Nullable(String)
)
ENGINE = MergeTree PARTITION BY `ds` ORDER BY `customer_id` SETTINGS allow_nullable_key = 1;
ALTER TABLE `crm`.`nothing`
  ADD COLUMN IF NOT EXISTS `customer_id` Nullable(String),
  ADD COLUMN IF NOT EXISTS `as_of` Nullable(DateTime64(6, 'UTC')),
  ADD COLUMN IF NOT EXISTS `score` Nullable(Float64),
  ADD COLUMN IF NOT EXISTS `added` Nullable(Float64),
  ADD COLUMN IF NOT EXISTS `visits` Nullable(Int64),
  ADD COLUMN IF NOT EXISTS `segment_id` Nullable(Int32),
  ADD COLUMN IF NOT EXISTS `active` Nullable(Bool),
  ADD COLUMN IF NOT EXISTS `next_purchase` Nullable(Date32),
  ADD COLUMN IF NOT EXISTS `value` Nullable(Decimal(18, 4)),
  ADD COLUMN IF NOT EXISTS `select` Nullable(String),
  ADD COLUMN IF NOT EXISTS `token` Nullable(FixedString(16)),
  ADD COLUMN IF NOT EXISTS `digest` Nullable(String);
ALTER TABLE `crm`.`nothing` DROP PARTITION '2025-03-31';

-- scores
CREATE TABLE IF NOT EXISTS `crm`.`scores` (
  `ds` Date,
  `customer_id` Nullable(String),
  `as_of` Nullable(DateTime64(6, 'UTC')),
  `score` Nullable(Float64),
  `added` Nullable(Float64),
  `visits` Nullable(Int64),
  `segment_id` Nullable(Int32),
  `active` Nullable(Bool),
  `next_purchase` Nullable(Date32),
  `value` Nullable(Decimal(18, 4)),
  `select` Nullable(String),
  `token` Nullable(FixedString(16)),
  `digest` Nullable(String)
)
ENGINE = MergeTree PARTITION BY `ds` ORDER BY `customer_id` SETTINGS allow_nullable_key = 1;
ALTER TABLE `crm`.`scores`
  ADD COLUMN IF NOT EXISTS `customer_id` Nullable(String),
  ADD COLUMN IF NOT EXISTS `as_of` Nullable(DateTime64(6, 'UTC')),
  ADD COLUMN IF NOT EXISTS `score` Nullable(Float64),
  ADD COLUMN IF NOT EXISTS `added` Nullable(Float64),
  ADD COLUMN IF NOT EXISTS `visits` Nullable(Int64),
  ADD COLUMN IF NOT EXISTS `segment_id` Nullable(Int32),
  ADD COLUMN IF NOT EXISTS `active` Nullable(Bool),
  ADD COLUMN IF NOT EXISTS `next_purchase` Nullable(Date32),
  ADD COLUMN IF NOT EXISTS `value` Nullable(Decimal(18, 4)),
  ADD COLUMN IF NOT EXISTS `select` Nullable(String),
  ADD COLUMN IF NOT EXISTS `token` Nullable(FixedString(16)),
  ADD COLUMN IF NOT EXISTS `digest` Nullable(String);
DROP TABLE IF EXISTS `crm`.`scores__load` SYNC;
CREATE TABLE `crm`.`scores__load` AS `crm`.`scores`;
INSERT INTO `crm`.`scores__load` (`ds`, `customer_id`, `as_of`, `score`, `added`, `visits`, `segment_id`, `active`, `next_purchase`, `value`, `select`, `token`, `digest`)
SELECT toDate('2025-03-31'), `customer_id`, `as_of`, `score`, `added`, `visits`, `segment_id`, `active`, `next_purchase`, `value`, `select`, `token`, `digest`
FROM s3('https://lake.s3.eu-central-1.amazonaws.com/shoal/scores/ds=2025-03-31/run=0123456789abcdef/part-00000.parquet', 'Parquet', '`customer_id` Nullable(String), `as_of` Nullable(DateTime64(6, \'UTC\')), `score` Nullable(Float64), `added` Nullable(Float64), `visits` Nullable(Int64), `segment_id` Nullable(Int32), `active` Nullable(Bool), `next_purchase` Nullable(Date32), `value` Nullable(Decimal(18, 4)), `select` Nullable(String), `token` Nullable(FixedString(16)), `digest` Nullable(String)');
INSERT INTO `crm`.`scores__load` (`ds`, `customer_id`, `as_of`, `score`, `added`, `visits`, `segment_id`, `active`, `next_purchase`, `value`, `select`, `token`, `digest`)
SELECT toDate('2025-03-31'), `customer_id`, `as_of`, `score`, `added`, `visits`, `segment_id`, `active`, `next_purchase`, `value`, `select`, `token`, `digest`
FROM s3('https://lake.s3.eu-central-1.amazonaws.com/shoal/scores/ds=2025-03-31/run=0123456789abcdef/part-00001.parquet', 'Parquet', '`customer_id` Nullable(String), `as_of` Nullable(DateTime64(6, \'UTC\')), `score` Nullable(Float64), `added` Nullable(Float64), `visits` Nullable(Int64), `segment_id` Nullable(Int32), `active` Nullable(Bool), `next_purchase` Nullable(Date32), `value` Nullable(Decimal(18, 4)), `select` Nullable(String), `token` Nullable(FixedString(16)), `digest` Nullable(String)');
SELECT throwIf(count() != 300, 'scores: the rows loaded are not the 300 of run 0123456789abcdef') FROM `crm`.`scores__load`;
ALTER TABLE `crm`.`scores` REPLACE PARTITION '2025-03-31' FROM `crm`.`scores__load`;
DROP TABLE `crm`.`scores__load` SYNC;
