-- Configuration kept in the database: ALTER ROLE … [IN DATABASE …] SET pgrst.… of the connecting role.
-- What is set for this database alone comes first and wins.
SELECT
  split.name,
  split.value
FROM pg_catalog.pg_db_role_setting s
JOIN pg_catalog.pg_roles me ON me.oid = s.setrole
LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) WITH ORDINALITY AS clause (setting, place)
CROSS JOIN LATERAL (
  SELECT
    pg_catalog.substr(clause.setting, 1, pg_catalog.strpos(clause.setting, '=') - 1) AS name,
    pg_catalog.substr(clause.setting, pg_catalog.strpos(clause.setting, '=') + 1) AS value
) AS split
WHERE me.rolname = current_user
  AND (s.setdatabase = 0 OR d.datname = current_catalog)
  AND split.name = ANY ($1::text[])
ORDER BY s.setdatabase = 0, clause.place;
