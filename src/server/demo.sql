-- The sample database of `trunkline demo`: a neighbourhood's tool library.
-- Roles: authenticator logs in; web_anon is everybody, web_member somebody with a token.

CREATE ROLE authenticator LOGIN NOINHERIT;
CREATE ROLE web_anon NOLOGIN;
CREATE ROLE web_member NOLOGIN IN ROLE web_anon;
GRANT web_anon, web_member TO authenticator;

CREATE SCHEMA toolshed;
COMMENT ON SCHEMA toolshed IS 'Tool library
What the neighbourhood lends and borrows';
SET search_path = toolshed;

CREATE TABLE category (
  id   int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL UNIQUE
);
COMMENT ON TABLE category IS 'Shelves that tools stand on';

CREATE TABLE tool (
  id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  category_id int NOT NULL REFERENCES category,
  name        text NOT NULL,
  description text NOT NULL DEFAULT '',
  daily_fee   numeric(5, 2) NOT NULL DEFAULT 0 CHECK (daily_fee >= 0),
  tags        text[] NOT NULL DEFAULT '{}',
  details     jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON tool (category_id);
COMMENT ON TABLE tool IS 'What can be borrowed';
COMMENT ON COLUMN tool.daily_fee IS 'In euros; most things are free';
COMMENT ON COLUMN tool.details IS 'Whatever the maker prints on the box';

CREATE TABLE member (
  id        int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name      text NOT NULL,
  joined_on date NOT NULL DEFAULT current_date
);
COMMENT ON TABLE member IS 'Who may borrow';

CREATE TABLE loan (
  id          int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tool_id     int NOT NULL REFERENCES tool,
  member_id   int NOT NULL REFERENCES member,
  lent_at     timestamptz NOT NULL DEFAULT now(),
  due_on      date NOT NULL DEFAULT current_date + 7,
  returned_on date
);
CREATE UNIQUE INDEX loan_once ON loan (tool_id) WHERE returned_on IS NULL;
CREATE INDEX ON loan (member_id);
COMMENT ON TABLE loan IS 'Who has what; members see their own';

-- Runs with its owner's rights: what is out is known to everybody, who has it is not.
CREATE VIEW tool_on_shelf AS
  SELECT tool.id, tool.name, category.name AS category, tool.daily_fee
  FROM tool
  JOIN category ON category.id = tool.category_id
  WHERE NOT EXISTS (SELECT FROM loan WHERE loan.tool_id = tool.id AND loan.returned_on IS NULL);
COMMENT ON VIEW tool_on_shelf IS 'Tools that nobody has at the moment';

CREATE FUNCTION find_tool(words text) RETURNS SETOF tool
LANGUAGE sql STABLE
SET search_path = toolshed
BEGIN ATOMIC
  SELECT * FROM toolshed.tool
  WHERE to_tsvector('english', name || ' ' || description) @@ websearch_to_tsquery('english', words)
  ORDER BY name;
END;
COMMENT ON FUNCTION find_tool IS 'Searches names and descriptions, as one types into a search box';

-- The member that the request's token names.
CREATE FUNCTION current_member() RETURNS int
LANGUAGE sql STABLE
RETURN (nullif(current_setting('request.jwt.claims', true), '')::json ->> 'member_id')::int;

CREATE FUNCTION borrow(tool_id int, days int DEFAULT 7) RETURNS loan
LANGUAGE plpgsql
AS $$
DECLARE
  made toolshed.loan;
BEGIN
  INSERT INTO toolshed.loan (tool_id, member_id, due_on)
  VALUES (borrow.tool_id, toolshed.current_member(), current_date + days)
  RETURNING * INTO made;
  RETURN made;
EXCEPTION WHEN unique_violation THEN
  RAISE EXCEPTION 'Tool % is not on the shelf', tool_id USING HINT = 'See tool_on_shelf.';
END
$$;
COMMENT ON FUNCTION borrow IS 'Lends a tool to the member whose token was sent';

ALTER TABLE loan ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_loans ON loan USING (member_id = current_member()) WITH CHECK (member_id = current_member());

GRANT USAGE ON SCHEMA toolshed TO web_anon;
GRANT SELECT ON category, tool, tool_on_shelf TO web_anon;
GRANT SELECT, INSERT ON loan TO web_member;
GRANT UPDATE (returned_on) ON loan TO web_member;
GRANT SELECT ON member TO web_member;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA toolshed FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_tool TO web_anon;
GRANT EXECUTE ON FUNCTION current_member, borrow TO web_member;

INSERT INTO category (name) VALUES ('Wood'), ('Garden'), ('Walls and paint'), ('Bicycles');

INSERT INTO tool (category_id, name, description, daily_fee, tags, details) VALUES
  (1, 'Hand saw', 'For planks and branches', 0, '{hand}', '{"teeth_per_inch": 8}'),
  (1, 'Jigsaw', 'Cuts curves, cordless', 1.50, '{electric}', '{"volts": 18, "blades": ["wood", "metal"]}'),
  (1, 'Router table', 'Heavy: bring a friend', 4, '{electric,heavy}', '{"watts": 1400}'),
  (1, 'Belt sander', 'With three belts', 2, '{electric}', '{"watts": 750, "belts": [80, 120, 240]}'),
  (2, 'Hedge trimmer', 'Wear the goggles', 2.50, '{electric}', '{"blade_cm": 55}'),
  (2, 'Wheelbarrow', 'The tyre is new', 0, '{hand,heavy}', '{"litres": 85}'),
  (2, 'Apple picker', 'A basket on a long pole', 0, '{hand}', '{"metres": 3.5}'),
  (3, 'Cordless drill', 'Two batteries and a charger', 1, '{electric}', '{"volts": 18, "batteries": 2}'),
  (3, 'Wallpaper steamer', 'Let it cool before you return it', 3, '{electric}', '{"litres": 4.5}'),
  (3, 'Long ladder', 'Nine metres, "almost" straight', 2, '{heavy}', '{"metres": 9}'),
  (4, 'Repair stand', 'Holds up to 25 kg', 0, '{hand}', '{"kilograms": 25}'),
  (4, 'Chain breaker', 'For 8 to 12 speeds', 0, '{hand}', '{"speeds": [8, 9, 10, 11, 12]}');

INSERT INTO member (name, joined_on) VALUES
  ('Ada', '2023-03-04'), ('Björn', '2023-11-19'), ('Chidi', '2024-06-01');

INSERT INTO loan (tool_id, member_id, lent_at, due_on, returned_on) VALUES
  (8, 1, '2025-04-01 09:30+00', '2025-04-08', '2025-04-05'),
  (5, 1, now() - interval '2 days', current_date + 5, NULL),
  (10, 2, now() - interval '9 days', current_date - 2, NULL),
  (11, 3, '2025-05-12 17:05+00', '2025-05-19', '2025-05-20');

ANALYZE;
