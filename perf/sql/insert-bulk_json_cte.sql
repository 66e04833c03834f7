-- The twin: the body unpacked in a CTE, as PostgREST does it.
WITH written AS (
  WITH sent AS (SELECT $1::json AS body),
       rows AS (SELECT CASE WHEN json_typeof(body) = 'array' THEN body ELSE json_build_array(body) END AS list FROM sent)
  INSERT INTO toolshed.event (kind, payload)
  SELECT row.kind, row.payload FROM rows, json_to_recordset(list) AS row(kind text, payload jsonb)
  RETURNING 1
)
SELECT '' AS total, count(page) AS page_total, array[]::text[] AS location, '' AS body,
       nullif(current_setting('response.headers', true), '') AS headers,
       nullif(current_setting('response.status', true), '') AS status
FROM (SELECT * FROM written) AS page
