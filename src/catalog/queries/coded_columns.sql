-- Relations by the types made since initdb on which their columns depend, and whether values of such a type run code that users
-- wrote when they are shown or compared: base types (their operators may be anything), row types, types with a cast to json,
-- and what is made of them: a longer chain of domains and arrays counts as coded unseen. Dependencies of anything else come
-- along as not coded: each relation's row type has one, and without rows PostgreSQL would go through all of them in one piece.
SELECT
  d.objid AS relation,
  d.classid = 'pg_class'::regclass AND d.objsubid > 0 AND EXISTS (
    SELECT
    FROM pg_type made
    LEFT JOIN pg_type first
      ON first.oid = CASE WHEN made.typbasetype <> 0 THEN made.typbasetype WHEN made.typcategory = 'A' THEN made.typelem END
    LEFT JOIN pg_type second
      ON second.oid = CASE WHEN first.typbasetype <> 0 THEN first.typbasetype WHEN first.typcategory = 'A' THEN first.typelem END
    LEFT JOIN pg_type third
      ON third.oid = CASE WHEN second.typbasetype <> 0 THEN second.typbasetype WHEN second.typcategory = 'A' THEN second.typelem END
    CROSS JOIN LATERAL (VALUES (made), (first), (second), (third)) AS link (type)
    WHERE made.oid = d.refobjid
      AND (
        third.typbasetype <> 0
        OR third.typcategory = 'A'
        OR (link.type).oid >= 16384 AND (
          (link.type).typtype = 'c'
          OR (link.type).typtype = 'b' AND (link.type).typcategory <> 'A'
          OR (link.type).oid IN (SELECT k.castsource FROM pg_cast k WHERE k.casttarget = 'json'::regtype)
        )
      )
  ) AS coded
FROM pg_depend d
WHERE d.refclassid = 'pg_type'::regclass
  AND d.refobjid >= 16384;
