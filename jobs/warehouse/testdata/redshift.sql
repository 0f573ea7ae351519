-- Run 0123456789abcdef of 2025-03-31, published by shoal 0.1.0, for redshift.
-- To be run with psql -X -v ON_ERROR_STOP=1 -f this file, or the query editor with transactions; its transaction changes all tables at once.

-- Redshift has no ADD COLUMN IF NOT EXISTS
CREATE OR REPLACE PROCEDURE "crm"."shoal_add_column"(in_schema VARCHAR(256), in_table VARCHAR(256), in_column VARCHAR(256), in_type VARCHAR(64)) AS $shoal$
DECLARE
  present INTEGER;
BEGIN
  SELECT COUNT(*) INTO present FROM svv_columns
  WHERE table_schema = in_schema AND table_name = in_table AND column_name = in_column;
  IF present = 0 THEN
    EXECUTE 'ALTER TABLE ' || quote_ident(in_schema) || '.' || quote_ident(in_table) || ' ADD COLUMN ' || quote_ident(in_column) || ' ' || in_type;
  END IF;
END;
$shoal$ LANGUAGE plpgsql;

-- nothing
CREATE TABLE IF NOT EXISTS "crm"."nothing" (
  "ds" DATE,
  "customer_id" VARCHAR(65535),
  "as_of" TIMESTAMP,
  "score" DOUBLE PRECISION,
  "added" DOUBLE PRECISION,
  "visits" BIGINT,
  "segment_id" INTEGER,
  "active" BOOLEAN,
  "next_purchase" DATE,
  "value" DECIMAL(18,4),
  "select" VARCHAR(65535),
  "token" VARBYTE(16),
  "digest" VARBYTE(65535)
)
SORTKEY ("ds");
CALL "crm"."shoal_add_column"('crm', 'nothing', 'customer_id', 'VARCHAR(65535)');
CALL "crm"."shoal_add_column"('crm', 'nothing', 'as_of', 'TIMESTAMP');
CALL "crm"."shoal_add_column"('crm', 'nothing', 'score', 'DOUBLE PRECISION');
CALL "crm"."shoal_add_column"('crm', 'nothing', 'added', 'DOUBLE PRECISION');
CALL "crm"."shoal_add_column"('crm', 'nothing', 'visits', 'BIGINT');
CALL "crm"."shoal_add_column"('crm', 'nothing', 'segment_id', 'INTEGER');
CALL "crm"."shoal_add_column"('crm', 'nothing', 'active', 'BOOLEAN');
CALL "crm"."shoal_add_column"('crm', 'nothing', 'next_purchase', 'DATE');
CALL "crm"."shoal_add_column"('crm', 'nothing', 'value', 'DECIMAL(18,4)');
CALL "crm"."shoal_add_column"('crm', 'nothing', 'select', 'VARCHAR(65535)');
CALL "crm"."shoal_add_column"('crm', 'nothing', 'token', 'VARBYTE(16)');
CALL "crm"."shoal_add_column"('crm', 'nothing', 'digest', 'VARBYTE(65535)');

-- scores
CREATE TABLE IF NOT EXISTS "crm"."scores" (
  "ds" DATE,
  "customer_id" VARCHAR(65535),
  "as_of" TIMESTAMP,
  "score" DOUBLE PRECISION,
  "added" DOUBLE PRECISION,
  "visits" BIGINT,
  "segment_id" INTEGER,
  "active" BOOLEAN,
  "next_purchase" DATE,
  "value" DECIMAL(18,4),
  "select" VARCHAR(65535),
  "token" VARBYTE(16),
  "digest" VARBYTE(65535)
)
SORTKEY ("ds");
CALL "crm"."shoal_add_column"('crm', 'scores', 'customer_id', 'VARCHAR(65535)');
CALL "crm"."shoal_add_column"('crm', 'scores', 'as_of', 'TIMESTAMP');
CALL "crm"."shoal_add_column"('crm', 'scores', 'score', 'DOUBLE PRECISION');
CALL "crm"."shoal_add_column"('crm', 'scores', 'added', 'DOUBLE PRECISION');
CALL "crm"."shoal_add_column"('crm', 'scores', 'visits', 'BIGINT');
CALL "crm"."shoal_add_column"('crm', 'scores', 'segment_id', 'INTEGER');
CALL "crm"."shoal_add_column"('crm', 'scores', 'active', 'BOOLEAN');
CALL "crm"."shoal_add_column"('crm', 'scores', 'next_purchase', 'DATE');
CALL "crm"."shoal_add_column"('crm', 'scores', 'value', 'DECIMAL(18,4)');
CALL "crm"."shoal_add_column"('crm', 'scores', 'select', 'VARCHAR(65535)');
CALL "crm"."shoal_add_column"('crm', 'scores', 'token', 'VARBYTE(16)');
CALL "crm"."shoal_add_column"('crm', 'scores', 'digest', 'VARBYTE(65535)');
BEGIN;

-- nothing: COPY goes by the place of a column, so this has the file's columns in their order
CREATE TEMPORARY TABLE "nothing__load" (
  "customer_id" VARCHAR(65535),
  "as_of" TIMESTAMP,
  "score" DOUBLE PRECISION,
  "added" DOUBLE PRECISION,
  "visits" BIGINT,
  "segment_id" INTEGER,
  "active" BOOLEAN,
  "next_purchase" DATE,
  "value" DECIMAL(18,4),
  "select" VARCHAR(65535),
  "token" VARBYTE(16),
  "digest" VARBYTE(65535)
);

-- fails, dividing by zero, unless every row is there
SELECT 1 / CASE WHEN COUNT(*) = 0 THEN 1 ELSE 0 END AS complete FROM "nothing__load";

-- scores: COPY goes by the place of a column, so this has the file's columns in their order
CREATE TEMPORARY TABLE "scores__load" (
  "customer_id" VARCHAR(65535),
  "as_of" TIMESTAMP,
  "score" DOUBLE PRECISION,
  "added" DOUBLE PRECISION,
  "visits" BIGINT,
  "segment_id" INTEGER,
  "active" BOOLEAN,
  "next_purchase" DATE,
  "value" DECIMAL(18,4),
  "select" VARCHAR(65535),
  "token" VARBYTE(16),
  "digest" VARBYTE(65535)
);
COPY "scores__load" FROM 's3://lake/shoal/scores/ds=2025-03-31/run=0123456789abcdef/part-00000.parquet' IAM_ROLE 'arn:aws:iam::123456789012:role/loader' FORMAT AS PARQUET;
COPY "scores__load" FROM 's3://lake/shoal/scores/ds=2025-03-31/run=0123456789abcdef/part-00001.parquet' IAM_ROLE 'arn:aws:iam::123456789012:role/loader' FORMAT AS PARQUET;

-- fails, dividing by zero, unless every row is there
SELECT 1 / CASE WHEN COUNT(*) = 300 THEN 1 ELSE 0 END AS complete FROM "scores__load";

-- nothing
DELETE FROM "crm"."nothing" WHERE "ds" = DATE '2025-03-31';
INSERT INTO "crm"."nothing" ("ds", "customer_id", "as_of", "score", "added", "visits", "segment_id", "active", "next_purchase", "value", "select", "token", "digest")
SELECT DATE '2025-03-31', "customer_id", "as_of", "score", "added", "visits", "segment_id", "active", "next_purchase", "value", "select", "token", "digest" FROM "nothing__load";
DROP TABLE "nothing__load";

-- scores
DELETE FROM "crm"."scores" WHERE "ds" = DATE '2025-03-31';
INSERT INTO "crm"."scores" ("ds", "customer_id", "as_of", "score", "added", "visits", "segment_id", "active", "next_purchase", "value", "select", "token", "digest")
SELECT DATE '2025-03-31', "customer_id", "as_of", "score", "added", "visits", "segment_id", "active", "next_purchase", "value", "select", "token", "digest" FROM "scores__load";
DROP TABLE "scores__load";
COMMIT;
