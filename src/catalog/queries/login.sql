-- What a session of the login role starts from: settings of the database and the role, whether the role is a superuser, and the
-- extensions, whose libraries a session keeps once it has loaded them. Sessions that began before any of it changed are replaced.
SELECT 'setting', s.setdatabase::text, s.setrole::text, s.setconfig::text
FROM pg_db_role_setting s
WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
  AND s.setrole IN (0, (SELECT r.oid FROM pg_roles r WHERE r.rolname = session_user))
UNION ALL
SELECT 'superuser', r.rolsuper::text, NULL, NULL
FROM pg_roles r
WHERE r.rolname = session_user
UNION ALL
SELECT 'extension', e.extname, e.extversion, NULL
FROM pg_extension e
ORDER BY 1, 2, 3;
