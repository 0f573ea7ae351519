-- Run 0123456789abcdef of 2025-03-31, published by shoal 0.1.0, for duckdb.
-- To be run with duckdb -bail warehouse.duckdb < this file; all of it is one transaction.
BEGIN TRANSACTION;

-- nothing
CREATE TABLE IF NOT EXISTS "crm"."shoal_nothing" (
  "ds" DATE,
  "customer_id" VARCHAR,
  "as_of" TIMESTAMP WITH TIME ZONE,
  "score" DOUBLE,
  "added" DOUBLE,
  "visits" BIGINT,
  "segment_id" INTEGER,
  "active" BOOLEAN,
  "next_purchase" DATE,
  "value" DECIMAL(18,4),
  "select" VARCHAR,
  "token" UUID,
  "digest" BLOB
);
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "customer_id" VARCHAR;
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "as_of" TIMESTAMP WITH TIME ZONE;
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "score" DOUBLE;
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "added" DOUBLE;
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "visits" BIGINT;
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "segment_id" INTEGER;
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "active" BOOLEAN;
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "next_purchase" DATE;
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "value" DECIMAL(18,4);
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "select" VARCHAR;
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "token" UUID;
ALTER TABLE "crm"."shoal_nothing" ADD COLUMN IF NOT EXISTS "digest" BLOB;

-- scores
CREATE TABLE IF NOT EXISTS "crm"."shoal_scores" (
  "ds" DATE,
  "customer_id" VARCHAR,
  "as_of" TIMESTAMP WITH TIME ZONE,
  "score" DOUBLE,
  "added" DOUBLE,
  "visits" BIGINT,
  "segment_id" INTEGER,
  "active" BOOLEAN,
  "next_purchase" DATE,
  "value" DECIMAL(18,4),
  "select" VARCHAR,
  "token" UUID,
  "digest" BLOB
);
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "customer_id" VARCHAR;
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "as_of" TIMESTAMP WITH TIME ZONE;
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "score" DOUBLE;
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "added" DOUBLE;
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "visits" BIGINT;
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "segment_id" INTEGER;
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "active" BOOLEAN;
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "next_purchase" DATE;
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "value" DECIMAL(18,4);
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "select" VARCHAR;
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "token" UUID;
ALTER TABLE "crm"."shoal_scores" ADD COLUMN IF NOT EXISTS "digest" BLOB;

-- nothing
DELETE FROM "crm"."shoal_nothing" WHERE "ds" = DATE '2025-03-31';
SELECT CASE WHEN count(*) = 0 THEN 'nothing: 0 rows' ELSE error('nothing: the rows loaded are not the 0 of run 0123456789abcdef') END AS loaded FROM "crm"."shoal_nothing" WHERE "ds" = DATE '2025-03-31';

-- scores
DELETE FROM "crm"."shoal_scores" WHERE "ds" = DATE '2025-03-31';
INSERT INTO "crm"."shoal_scores" ("ds", "customer_id", "as_of", "score", "added", "visits", "segment_id", "active", "next_purchase", "value", "select", "token", "digest")
SELECT DATE '2025-03-31', "customer_id", "as_of", "score", "added", "visits", "segment_id", "active", "next_purchase", "value", "select", "token", "digest"
FROM read_parquet([
  's3://lake/shoal/scores/ds=2025-03-31/run=0123456789abcdef/part-00000.parquet',
  's3://lake/shoal/scores/ds=2025-03-31/run=0123456789abcdef/part-00001.parquet'
], hive_partitioning = false);
SELECT CASE WHEN count(*) = 300 THEN 'scores: 300 rows' ELSE error('scores: the rows loaded are not the 300 of run 0123456789abcdef') END AS loaded FROM "crm"."shoal_scores" WHERE "ds" = DATE '2025-03-31';
COMMIT;
