"""Features of postgrest-py against a server: python.py URL TOKEN. Every check is a call and what it is to give."""

import sys
from concurrent.futures import ThreadPoolExecutor

from postgrest import APIError, SyncPostgrestClient
from postgrest.types import CountMethod, ReturnMethod

URL, TOKEN = sys.argv[1:]
EXACT = CountMethod.exact
WRENCH, CUTTER, DRILL, STAND = "Pipe wrench", "Tile cutter", "Seed drill", 'Truing stand, "old"'
anon = SyncPostgrestClient(URL, schema="toolshed")
member = SyncPostgrestClient(URL, schema="toolshed", headers={"Authorization": f"Bearer {TOKEN}"})
passed = failed = 0


def check(name, query, data, count=None):
    """What a query gives: its data and count, or the code of the error that `data` names."""
    global passed, failed
    try:
        answer = query.execute()
        seen = (getattr(answer, "data", answer), getattr(answer, "count", None))
    except APIError as error:
        seen = (error.code, None)
    if seen == (data, count):
        passed += 1
    else:
        failed += 1
        print(f"postgrest-py: {name}\n  expected {(data, count)}\n  but was  {seen}")


def wish():
    return anon.from_("wish")


def titles(*names):
    return [{"title": name} for name in names]


def finds(name, narrow, *names):
    check(name, narrow(wish().select("title")).order("id"), titles(*names))


# ---------------------------------------------------------------- reading

check("select", anon.from_("category").select("*").order("id").limit(1), [{"id": 1, "name": "Wood"}])
check("columns", anon.from_("tool").select("n:name", "daily_fee", "details->volts").eq("id", 2), [{"n": "Jigsaw", "daily_fee": 1.5, "volts": 18}])
check("to-one", anon.from_("tool").select("name, category(name)").eq("id", 2), [{"name": "Jigsaw", "category": {"name": "Wood"}}])
check(
    "to-many",
    anon.from_("category").select("name, tool(name)").eq("id", 4).order("name", desc=True, foreign_table="tool").limit(1, foreign_table="tool"),
    [{"name": "Bicycles", "tool": [{"name": "Repair stand"}]}],
)
check("count", anon.from_("tool").select("id", count=EXACT).order("id").limit(1), [{"id": 1}], 12)
check("planned count", anon.from_("tool").select("id", count=CountMethod.planned).order("id").limit(1), [{"id": 1}], 12)
check("estimated count", anon.from_("tool").select("id", count=CountMethod.estimated).order("id").limit(1), [{"id": 1}], 12)
check("head", anon.from_("tool").select("*", count=EXACT, head=True), [], 12)
check("range", anon.from_("tool").select("id").order("id").range(2, 3), [{"id": 3}, {"id": 4}])
check("past the end", anon.from_("tool").select("id", count=EXACT).range(20, 30), "PGRST103")
check("single", anon.from_("tool").select("name").eq("id", 1).single(), {"name": "Hand saw"})
check("single of none", anon.from_("tool").select("name").eq("id", 0).single(), "PGRST116")
check("maybe_single", anon.from_("tool").select("name").eq("id", 1).maybe_single(), {"name": "Hand saw"})
check("maybe_single of none", anon.from_("tool").select("name").eq("id", 0).maybe_single(), None)
check("csv", anon.from_("category").select("id", "name").order("id").limit(2).csv(), "id,name\n1,Wood\n2,Garden")
check("strip_nulls", wish().select("title", "extra").eq("title", DRILL).strip_nulls(), titles(DRILL))
check("nulls last", wish().select("title").order("price", desc=True, nullsfirst=False), titles(CUTTER, STAND, WRENCH, DRILL))
check("two orders", wish().select("title").order("done", nullsfirst=True).order("price", desc=True), titles(DRILL, CUTTER, STAND, WRENCH))
check("schema", anon.schema("archive").from_("paper").select("*"), [{"id": 1, "topic": "ledgers"}])
check("unknown schema", anon.schema("nowhere").from_("paper").select("*"), "PGRST106")
check("unknown table", anon.from_("tol").select("*"), "PGRST205")
check("unknown column", anon.from_("tool").select("nam"), "42703")

# ---------------------------------------------------------------- filters

finds("eq", lambda query: query.eq("title", STAND), STAND)
finds("neq", lambda query: query.neq("id", 1), CUTTER, DRILL, STAND)
finds("gt lte", lambda query: query.gt("price", 12).lte("price", 80.25), CUTTER, STAND)
finds("gte lt", lambda query: query.gte("price", 12).lt("price", 41), WRENCH, STAND)
finds("is null", lambda query: query.is_("done", None), DRILL)
finds("is true", lambda query: query.is_("done", True), WRENCH)
finds("like", lambda query: query.like("title", "%i%e%"), WRENCH, CUTTER)
finds("ilike", lambda query: query.ilike("title", "pipe*"), WRENCH)
finds("like_all_of", lambda query: query.like_all_of("title", "%i%,%d%"), DRILL, STAND)
finds("ilike_any_of", lambda query: query.ilike_any_of("title", "seed%,tile%"), CUTTER, DRILL)
finds("in", lambda query: query.in_("title", [WRENCH, STAND]), WRENCH, STAND)
finds("not in", lambda query: query.not_.in_("id", [1, 2]), DRILL, STAND)
finds("contains", lambda query: query.contains("labels", ["hand"]), WRENCH, STAND)
finds("contains json", lambda query: query.contains("extra", {"size": {"inch": 8}}), CUTTER)
finds("contained_by", lambda query: query.contained_by("labels", ["hand", "heavy"]), WRENCH, DRILL, STAND)
finds("overlaps", lambda query: query.overlaps("labels", ["heavy", "electric"]), WRENCH, CUTTER)
finds("overlaps a range", lambda query: query.ov("span", "[4,6]"), WRENCH, CUTTER)
finds("range_gt", lambda query: query.range_gt("span", (1, 6)), DRILL)
finds("range_gte", lambda query: query.range_gte("span", (4, 6)), CUTTER, DRILL)
finds("range_lt", lambda query: query.range_lt("span", (4, 6)), WRENCH)
finds("range_lte", lambda query: query.range_lte("span", (4, 10)), WRENCH, CUTTER)
finds("range_adjacent", lambda query: query.range_adjacent("span", (19, 30)), DRILL)
finds("wfts", lambda query: query.wfts("title", "wrench -cutter"), WRENCH)
finds("match", lambda query: query.match({"id": 2, "done": "false"}), CUTTER)
finds("or", lambda query: query.or_("id.eq.1,and(price.gt.50,labels.cs.{electric})"), WRENCH, CUTTER)
check("text_search", wish().select("title").text_search("title", "wrench pipe", {"type": "plain", "config": "english"}), titles(WRENCH))
check("or in an embed", anon.from_("category").select("tool(name)").eq("id", 1).or_("id.eq.1,name.eq.Jigsaw", "tool"), [{"tool": [{"name": "Hand saw"}, {"name": "Jigsaw"}]}])

# ---------------------------------------------------------------- writing

check("insert", wish().insert({"title": "Anvil"}, returning=ReturnMethod.minimal), [])
check("insert and select", wish().insert({"title": "Burin", "price": 5}).select("title", "price"), [{"title": "Burin", "price": 5}])
check("missing is null", wish().insert([{"title": "Dibber", "price": 5}, {"title": "Edger"}]).select("price"), [{"price": 5}, {"price": None}])
check("missing is default", wish().insert([{"title": "Froe", "price": 5}, {"title": "Gimlet"}], default_to_null=False).select("price"), [{"price": 5}, {"price": 9.5}])
check("insert and count", wish().insert({"title": "Hoe"}, count=EXACT).select("title"), titles("Hoe"), 1)
check("insert twice", wish().insert({"title": "Hoe"}), "23505")
check("upsert", wish().upsert({"id": 1, "title": WRENCH, "price": 13}).select("id", "price"), [{"id": 1, "price": 13}])
check("upsert on a key", wish().upsert({"title": CUTTER, "price": 81}, on_conflict="title").select("id", "price"), [{"id": 2, "price": 81}])
check(
    "upsert ignoring",
    wish().upsert([{"title": CUTTER, "price": 1}, {"title": "Gouge", "price": 2}], on_conflict="title", ignore_duplicates=True).select("title"),
    titles("Gouge"),
)
check("update", wish().update({"price": 3}, count=EXACT).eq("title", "Gouge").select("price"), [{"price": 3}], 1)
check("update quietly", wish().update({"done": True}, returning=ReturnMethod.minimal).eq("title", "Gouge"), [])
check("update none", wish().update({"price": 3}).eq("title", "none"), [])
check("max_affected", wish().update({"price": 3}).gt("id", 0).max_affected(2), "PGRST124")
check("nothing was updated", wish().select("price").eq("id", 1).single(), {"price": 13})
check("delete", wish().delete(count=EXACT).in_("title", ["Anvil", "Gouge"]).select("title").order("title"), titles("Anvil", "Gouge"), 2)
check("row-level security", member.from_("loan").select("tool(name)").is_("returned_on", None), [{"tool": {"name": "Hedge trimmer"}}])
check("without a token", anon.from_("loan").select("*"), "42501")

# ---------------------------------------------------------------- calls

check("call", anon.rpc("add_up", {"a": 1, "b": 2}), 3)
check("call with a default", anon.rpc("add_up", {"a": 1}), 11)
check("call by get", anon.rpc("add_up", {"a": 1, "b": 5}, get=True), 6)
check("call by get with an array", anon.rpc("sum_of", {"numbers": [1, 2, 3]}, get=True), 6)
check("call with json", anon.rpc("echo", {"value": {"a": [1, "ü"]}}), {"a": [1, "ü"]})
check("call for rows", anon.rpc("wishes", {"below": 50}).select("title,price").gt("price", 12).order("price", desc=True), [{"title": STAND, "price": 40}, {"title": WRENCH, "price": 13}])
check("call and count", anon.rpc("wishes", {"below": 50}, count=EXACT).select("id").order("id").limit(1), [{"id": 1}], 7)
check("call for nothing", anon.rpc("forget", {"title": "Hoe"}), [])
check("call that refuses", anon.rpc("refuse", {}), "PT418")
check("unknown function", anon.rpc("add_upp", {"a": 1}), "PGRST202")
check("borrow", member.rpc("borrow", {"tool_id": 3}).select("tool_id,member_id"), {"tool_id": 3, "member_id": 1})

# ---------------------------------------------------------------- the rest

plan = anon.from_("tool").select("*").explain(analyze=True, verbose=True, settings=True, buffers=True, wal=True).execute()
tree = anon.from_("tool").select("*").eq("id", 1).explain(format="json").execute()
with ThreadPoolExecutor(16) as pool:
    sums = list(pool.map(lambda n: anon.rpc("add_up", {"a": n, "b": 1}).execute().data, range(200)))
for name, holds in {"plan as text": "actual time" in str(plan), "plan as json": "Plan" in tree.data[0], "two hundred at once": sums == list(range(1, 201))}.items():
    passed += holds
    failed += not holds
    if not holds:
        print(f"postgrest-py: {name}")

print(f"postgrest-py: {passed} passed, {failed} failed")
sys.exit(failed > 0)
