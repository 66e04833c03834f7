-- The same answer with each parent's children as JSON from a correlated subquery.
SELECT "album"."id", "album"."title", (SELECT coalesce(json_agg("album_track_1"), '[]') AS "album_track_1" FROM (SELECT "track_1"."id" AS "id", "track_1"."name" AS "name", "track_1"."ms" AS "ms" FROM "shop"."track" AS "track_1" WHERE "track_1"."album_id" = "album"."id") AS "album_track_1") FROM "shop"."album";
