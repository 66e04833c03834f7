-- role_settings.sql before PostgreSQL 15, which has no GRANT SET: only what every role may set.
SELECT
  r.rolname,
  split.name,
  split.value
FROM pg_roles r
CROSS JOIN LATERAL unnest(r.rolconfig) WITH ORDINALITY AS clause (setting, place)
CROSS JOIN LATERAL (
  SELECT
    substr(clause.setting, 1, strpos(clause.setting, '=') - 1) AS name,
    substr(clause.setting, strpos(clause.setting, '=') + 1) AS value
) AS split
JOIN pg_settings s ON s.name = split.name
WHERE EXISTS (
    SELECT
    FROM pg_auth_members m
    JOIN pg_roles me ON me.oid = m.member
    WHERE m.roleid = r.oid AND me.rolname = current_user
  )
  AND s.context = 'user'
ORDER BY r.rolname, clause.place;
