\set n random(1, 29900)
\startpipeline
select set_config('search_path', 'shop, public', true), set_config('role', 'anon', true), set_config('request.jwt.claims', '{"role":"anon"}', true), set_config('request.method', 'GET', true), set_config('request.path', '/track', true), set_config('request.headers', '{"host":"127.0.0.1"}', true), set_config('request.cookies', '{}', true), set_config('transaction_read_only', 'on', true);
select id, album_id, genre_id, name, ms, bytes, price, explicit, added_at, to_json(tags) as tags, extra from shop.track where id > :n order by id limit 100;
\endpipeline
