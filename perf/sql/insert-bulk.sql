-- POST /event, an array of objects with the keys kind and payload
WITH "trunkline_source" AS (INSERT INTO "toolshed"."event"("kind", "payload") SELECT "pgrst_body"."kind", "pgrst_body"."payload" FROM json_to_recordset($1) AS "pgrst_body"("kind" text, "payload" jsonb) RETURNING 1) SELECT count(*) FROM "trunkline_source"
