-- What the pre-configuration function has set, asked in the transaction that called it.
SELECT
  wanted.name,
  pg_catalog.current_setting(wanted.name, true) AS value
FROM pg_catalog.unnest($1::text[]) WITH ORDINALITY AS wanted (name, place)
WHERE pg_catalog.current_setting(wanted.name, true) IS NOT NULL
ORDER BY wanted.place;
