\set n random(1, 29900)
\startpipeline
select set_config('search_path', 'shop, public', true), set_config('role', 'anon', true), set_config('request.jwt.claims', '{"role":"anon"}', true), set_config('request.method', 'GET', true), set_config('request.path', '/track', true), set_config('request.headers', '{"host":"127.0.0.1"}', true), set_config('request.cookies', '{}', true), set_config('transaction_read_only', 'on', true);
with source as (select * from shop.track where id > :n order by id limit 100) select null::bigint, count(t), coalesce(json_agg(t), '[]') from (select * from source) t;
\endpipeline
