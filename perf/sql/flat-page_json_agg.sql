-- The same answer as one json_agg over a CTE.
WITH pgrst_source AS ( SELECT "api"."vessels".* FROM "api"."vessels" ORDER BY "api"."vessels"."id" LIMIT '100' OFFSET '0'  )  SELECT null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, coalesce(json_agg(_postgrest_t), '[]') AS body FROM ( SELECT * FROM pgrst_source ) _postgrest_t;
