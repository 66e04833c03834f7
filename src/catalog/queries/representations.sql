-- Implicit casts through a function between a domain and json or text, as far as the connecting role may run them.
SELECT
  format_type(k.castsource, NULL) AS source,
  format_type(k.casttarget, NULL) AS target,
  pn.nspname AS function_schema,
  p.proname AS function_name
FROM pg_cast k
JOIN pg_type source ON source.oid = k.castsource
JOIN pg_type target ON target.oid = k.casttarget
JOIN pg_proc p ON p.oid = k.castfunc
JOIN pg_namespace pn ON pn.oid = p.pronamespace
WHERE k.castcontext = 'i'
  AND k.castmethod = 'f'
  AND has_function_privilege(k.castfunc, 'execute')
  AND (
    (source.typtype = 'd' AND k.casttarget IN ('pg_catalog.json'::regtype, 'pg_catalog.text'::regtype))
    OR (target.typtype = 'd' AND k.castsource IN ('pg_catalog.json'::regtype, 'pg_catalog.text'::regtype))
  )
ORDER BY k.castsource, k.casttarget;
