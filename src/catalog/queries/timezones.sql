-- Names that `Prefer: timezone` may give.
SELECT name
FROM pg_timezone_names;
