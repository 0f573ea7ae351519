-- Run 0123456789abcdef of 2025-03-31, published by shoal 0.1.0, for postgres.
-- To be run with psql -X -v ON_ERROR_STOP=1 -f this file; the rows come with it, and shoal load --target postgres sends the same.
SET client_encoding = 'UTF8';
SET client_min_messages = warning;

-- nothing
CREATE TABLE IF NOT EXISTS "crm"."nothing" (
  "ds" date,
  "customer_id" text,
  "as_of" timestamp with time zone,
  "score" double precision,
  "visits" bigint,
  "segment_id" integer,
  "active" boolean,
  "next_purchase" date,
  "value" numeric(18,4),
  "select" text
);
CREATE INDEX IF NOT EXISTS "nothing_ds" ON "crm"."nothing" ("ds");
ALTER TABLE "crm"."nothing"
  ADD COLUMN IF NOT EXISTS "customer_id" text,
  ADD COLUMN IF NOT EXISTS "as_of" timestamp with time zone,
  ADD COLUMN IF NOT EXISTS "score" double precision,
  ADD COLUMN IF NOT EXISTS "visits" bigint,
  ADD COLUMN IF NOT EXISTS "segment_id" integer,
  ADD COLUMN IF NOT EXISTS "active" boolean,
  ADD COLUMN IF NOT EXISTS "next_purchase" date,
  ADD COLUMN IF NOT EXISTS "value" numeric(18,4),
  ADD COLUMN IF NOT EXISTS "select" text;
BEGIN;

-- nothing
CREATE TEMPORARY TABLE "nothing__load" (
  "customer_id" text,
  "as_of" timestamp with time zone,
  "score" double precision,
  "visits" bigint,
  "segment_id" integer,
  "active" boolean,
  "next_purchase" date,
  "value" numeric(18,4),
  "select" text
) ON COMMIT DROP;
COPY "nothing__load" ("customer_id", "as_of", "score", "visits", "segment_id", "active", "next_purchase", "value", "select") FROM STDIN;
\.
DO 'BEGIN IF (SELECT count(*) FROM "nothing__load") <> 0 THEN RAISE EXCEPTION USING MESSAGE = ''nothing: the rows loaded are not the 0 of run 0123456789abcdef''; END IF; END';

-- nothing: readers go on, other loads wait
LOCK TABLE "crm"."nothing" IN SHARE ROW EXCLUSIVE MODE;
DELETE FROM "crm"."nothing" WHERE "ds" = DATE '2025-03-31';
INSERT INTO "crm"."nothing" ("ds", "customer_id", "as_of", "score", "visits", "segment_id", "active", "next_purchase", "value", "select")
SELECT DATE '2025-03-31', "customer_id", "as_of", "score", "visits", "segment_id", "active", "next_purchase", "value", "select" FROM "nothing__load";
COMMIT;
