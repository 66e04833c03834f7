-- GET /vessels?order=id&limit=100
SELECT "vessels"."id", "vessels"."name", "vessels"."operator_id", "vessels"."tonnage", "vessels"."built", "vessels"."spec", to_json("vessels"."tags") FROM "api"."vessels" ORDER BY "vessels"."id" LIMIT '100' OFFSET '0';
