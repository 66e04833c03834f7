\set n random(1, 30000)
\startpipeline
select set_config('search_path', 'shop, public', true), set_config('role', 'anon', true), set_config('request.jwt.claims', '{"role":"anon"}', true), set_config('request.method', 'GET', true), set_config('request.path', '/track', true), set_config('request.headers', '{"host":"127.0.0.1"}', true), set_config('request.cookies', '{}', true), set_config('transaction_read_only', 'on', true);
select id, name, ms from shop.track where id = :n;
\endpipeline
