-- GET /operators?select=id,name,vessels()&vessels=is.null
SELECT "operators"."id", "operators"."name" FROM "api"."operators" WHERE NOT EXISTS (SELECT 1 FROM "api"."vessels" AS "vessels_1" WHERE "vessels_1"."operator_id" = "operators"."id");
