-- Whether somebody gave PostgreSQL's own types an operator or a cast of their own: any comparison may run it.
SELECT
  EXISTS (
    SELECT
    FROM pg_operator o
    JOIN pg_proc p ON p.oid = o.oprcode
    JOIN pg_language l ON l.oid = p.prolang
    WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal') AND o.oprleft < 16384 AND o.oprright < 16384
  ) OR EXISTS (
    SELECT
    FROM pg_cast k
    JOIN pg_proc p ON p.oid = k.castfunc
    JOIN pg_language l ON l.oid = p.prolang
    WHERE p.oid >= 16384 AND l.lanname NOT IN ('c', 'internal') AND k.castsource < 16384 AND k.casttarget < 16384
  ) AS holds;
