// Features of @supabase/postgrest-js against a server: javascript.mjs URL TOKEN. Every check is a call and what it is to give.
import { deepStrictEqual } from 'node:assert'
import { PostgrestClient } from '@supabase/postgrest-js'

const [url, token] = process.argv.slice(2)
const anon = new PostgrestClient(url, { schema: 'toolshed' })
const member = new PostgrestClient(url, { schema: 'toolshed', headers: { Authorization: `Bearer ${token}` } })
const wish = () => anon.from('wish')
let passed = 0
let failed = 0

/** Compares only the members that `expect` has: data, error, count, status. */
async function check(name, call, expect) {
  const answer = await call
  const seen = Object.fromEntries(Object.keys(expect).map((key) => [key, answer[key]]))
  if (expect.error && seen.error) {
    seen.error = Object.fromEntries(Object.keys(expect.error).map((key) => [key, seen.error[key]]))
  }
  try {
    deepStrictEqual(seen, expect)
    passed += 1
  } catch (difference) {
    failed += 1
    console.log(`postgrest-js: ${name}\n${difference.message}\n${JSON.stringify(answer)}`)
  }
}

const titles = (...names) => names.map((title) => ({ title }))
const [WRENCH, CUTTER, DRILL, STAND] = ['Pipe wrench', 'Tile cutter', 'Seed drill', 'Truing stand, "old"']
/** Rows of `wish` that a filter lets through, by title. */
const finds = (name, filter, ...names) => check(name, filter(wish().select('title')).order('id'), { data: titles(...names), error: null })

// ---------------------------------------------------------------- reading

await check('select', anon.from('category').select().order('id').limit(1), { data: [{ id: 1, name: 'Wood' }], status: 200, count: null })
await check('columns', anon.from('tool').select('n:name, daily_fee::text, details->volts').eq('id', 2), {
  data: [{ n: 'Jigsaw', daily_fee: '1.50', volts: 18 }],
})
await check('to-one', anon.from('tool').select('name, category(name)').eq('id', 2), { data: [{ name: 'Jigsaw', category: { name: 'Wood' } }] })
await check(
  'to-many',
  anon.from('category').select('name, tool(name)').eq('id', 4).order('name', { referencedTable: 'tool', ascending: false }).limit(1, { referencedTable: 'tool' }),
  { data: [{ name: 'Bicycles', tool: [{ name: 'Repair stand' }] }] },
)
await check('range of an embed', anon.from('category').select('tool(name)').eq('id', 1).order('id', { referencedTable: 'tool' }).range(1, 2, { referencedTable: 'tool' }), {
  data: [{ tool: [{ name: 'Jigsaw' }, { name: 'Router table' }] }],
})
await check('inner', anon.from('category').select('name, tool!inner(name)').eq('tool.name', 'Jigsaw'), { data: [{ name: 'Wood', tool: [{ name: 'Jigsaw' }] }] })
await check('or in an embed', anon.from('category').select('tool(name)').eq('id', 1).or('id.eq.1,name.eq.Jigsaw', { referencedTable: 'tool' }), {
  data: [{ tool: [{ name: 'Hand saw' }, { name: 'Jigsaw' }] }],
})
await check('spread', anon.from('tool').select('name, ...category(shelf:name)').eq('id', 5), { data: [{ name: 'Hedge trimmer', shelf: 'Garden' }] })
await check('order by an embed', anon.from('tool').select('id, category(name)').order('category(name)').order('id').limit(1), {
  data: [{ id: 11, category: { name: 'Bicycles' } }],
})
await check('aggregates', anon.from('tool').select('category_id, daily_fee.max(), count()').eq('category_id', 1), { data: [{ category_id: 1, max: 4, count: 4 }] })
await check('computed column', wish().select('total_price').eq('title', WRENCH), { data: [{ total_price: 14.4 }] })
await check('order with nulls', wish().select('title').order('price', { ascending: false, nullsFirst: false }), { data: titles(CUTTER, STAND, WRENCH, DRILL) })
await check('order nulls first', wish().select('title').order('price', { nullsFirst: true }), { data: titles(DRILL, WRENCH, STAND, CUTTER) })
await check('range', anon.from('tool').select('id').order('id').range(2, 3), { data: [{ id: 3 }, { id: 4 }], status: 200 })
for (const count of ['exact', 'planned', 'estimated']) {
  await check(`count ${count}`, anon.from('tool').select('id', { count }).order('id').limit(1), { data: [{ id: 1 }], count: 12, status: 206 })
}
await check('head', anon.from('tool').select('*', { count: 'exact', head: true }), { data: null, count: 12, status: 200, error: null })
await check('past the end', anon.from('tool').select('id', { count: 'exact' }).range(20, 30), { error: { code: 'PGRST103' }, status: 416 })
await check('single', anon.from('tool').select('name').eq('id', 1).single(), { data: { name: 'Hand saw' } })
await check('single of none', anon.from('tool').select('name').eq('id', 0).single(), { status: 406, error: { code: 'PGRST116', details: 'The result contains 0 rows' } })
await check('maybeSingle', anon.from('tool').select('name').eq('id', 0).maybeSingle(), { data: null, error: null, status: 200 })
await check('maybeSingle of several', anon.from('tool').select('name').maybeSingle(), { data: null, status: 406, error: { code: 'PGRST116' } })
await check('csv', anon.from('category').select('id,name').order('id').limit(2).csv(), { data: 'id,name\n1,Wood\n2,Garden' })
await check('csv with quotes', wish().select('title,labels').eq('title', STAND).csv(), { data: 'title,labels\n"Truing stand, ""old""",{hand}' })
await check('strip nulls', wish().select('title,extra').eq('title', DRILL).stripNulls(), { data: titles(DRILL) })
await check('strip nulls of one', wish().select('title,extra').eq('title', DRILL).single().stripNulls(), { data: { title: DRILL } })
await check('schema', anon.schema('archive').from('paper').select(), { data: [{ id: 1, topic: 'ledgers' }] })
await check('unknown schema', anon.schema('nowhere').from('paper').select(), { status: 406, error: { code: 'PGRST106' } })
await check('unknown table', anon.from('tol').select(), { status: 404, error: { code: 'PGRST205', hint: "Perhaps you meant the table 'toolshed.tool'" } })
await check('unknown column', anon.from('tool').select('nam'), { status: 400, error: { code: '42703' } })

// ---------------------------------------------------------------- filters

await finds('eq', (q) => q.eq('title', STAND), STAND)
await finds('neq', (q) => q.neq('id', 1), CUTTER, DRILL, STAND)
await finds('gt lte', (q) => q.gt('price', 12).lte('price', 80.25), CUTTER, STAND)
await finds('gte lt', (q) => q.gte('price', 12).lt('price', 41), WRENCH, STAND)
await finds('like', (q) => q.like('title', '%i%e%'), WRENCH, CUTTER)
await finds('ilike', (q) => q.ilike('title', 'pipe%'), WRENCH)
await finds('likeAllOf', (q) => q.likeAllOf('title', ['%i%', '%d%']), DRILL, STAND)
await finds('likeAnyOf', (q) => q.likeAnyOf('title', ['Seed%', 'Tile%']), CUTTER, DRILL)
await finds('ilikeAllOf', (q) => q.ilikeAllOf('title', ['%I%', '%D%']), DRILL, STAND)
await finds('ilikeAnyOf', (q) => q.ilikeAnyOf('title', ['seed%', 'tile%']), CUTTER, DRILL)
await finds('regexMatch', (q) => q.regexMatch('title', '^T.*"$'), STAND)
await finds('regexIMatch', (q) => q.regexIMatch('title', '^t'), CUTTER, STAND)
await finds('is null', (q) => q.is('done', null), DRILL)
await finds('is true', (q) => q.is('done', true), WRENCH)
await finds('isDistinct', (q) => q.isDistinct('done', false), WRENCH, DRILL)
await finds('in', (q) => q.in('title', [WRENCH, STAND.replaceAll('"', '\\"')]), WRENCH, STAND)
await finds('notIn', (q) => q.notIn('id', [1, 2]), DRILL, STAND)
await finds('contains array', (q) => q.contains('labels', ['hand']), WRENCH, STAND)
await finds('contains json', (q) => q.contains('extra', { size: { inch: 8 } }), CUTTER)
await finds('contains range', (q) => q.contains('span', '[2,3)'), WRENCH)
await finds('containedBy', (q) => q.containedBy('labels', ['hand', 'heavy']), WRENCH, DRILL, STAND)
await finds('overlaps', (q) => q.overlaps('labels', ['heavy', 'electric']), WRENCH, CUTTER)
await finds('rangeGt', (q) => q.rangeGt('span', '[1,6)'), DRILL)
await finds('rangeGte', (q) => q.rangeGte('span', '[5,6)'), CUTTER, DRILL)
await finds('rangeLt', (q) => q.rangeLt('span', '[5,6)'), WRENCH)
await finds('rangeLte', (q) => q.rangeLte('span', '[5,10)'), WRENCH, CUTTER)
await finds('rangeAdjacent', (q) => q.rangeAdjacent('span', '[20,30)'), DRILL)
for (const [type, words] of [[undefined, 'pipe & wrench'], ['plain', 'wrench pipe'], ['phrase', 'pipe wrench'], ['websearch', 'wrench -cutter']]) {
  await finds(`textSearch ${type}`, (q) => q.textSearch('title', words, { type, config: 'english' }), WRENCH)
}
await finds('match', (q) => q.match({ id: 2, done: false }), CUTTER)
await finds('not', (q) => q.not('price', 'is', null).not('id', 'in', '(1,2)'), STAND)
await finds('or', (q) => q.or('id.eq.1,and(price.gt.50,labels.cs.{electric})'), WRENCH, CUTTER)
await finds('filter', (q) => q.filter('extra->size->>inch', 'eq', '14'), WRENCH)

// ---------------------------------------------------------------- writing

await check('insert', wish().insert({ title: 'Anvil' }), { data: null, error: null, status: 201 })
await check('insert and select', wish().insert([{ title: 'Bellows', price: 5 }, { title: 'Chisel' }], { defaultToNull: false }).select('title,price'), {
  data: [{ title: 'Bellows', price: 5 }, { title: 'Chisel', price: 9.5 }],
  status: 201,
})
await check('missing is null', wish().insert([{ title: 'Dibber', price: 5 }, { title: 'Edger' }]).select('title,price'), {
  data: [{ title: 'Dibber', price: 5 }, { title: 'Edger', price: null }],
})
await check('insert and count', wish().insert({ title: 'File' }, { count: 'exact' }), { count: 1, status: 201 })
await check('insert twice', wish().insert({ title: 'File' }), { status: 409, error: { code: '23505', details: 'Key (title)=(File) already exists.' } })
await check('insert an unknown column', wish().insert({ nope: 1 }), { status: 400, error: { code: 'PGRST204' } })
await check('upsert', wish().upsert({ id: 1, title: WRENCH, price: 13 }).select('id,price'), { data: [{ id: 1, price: 13 }], status: 200 })
await check('upsert on a key', wish().upsert({ title: CUTTER, price: 81 }, { onConflict: 'title' }).select('id,price').single(), { data: { id: 2, price: 81 }, status: 200 })
await check('upsert ignoring', wish().upsert([{ title: CUTTER, price: 1 }, { title: 'Gouge', price: 2 }], { onConflict: 'title', ignoreDuplicates: true }).select('title'), {
  data: titles('Gouge'),
  status: 201,
})
await check('update', wish().update({ done: true }).eq('title', 'Gouge'), { data: null, status: 204 })
await check('update and select', wish().update({ extra: { a: [1, null] } }, { count: 'exact' }).eq('title', 'Gouge').select('extra'), {
  data: [{ extra: { a: [1, null] } }],
  count: 1,
  status: 200,
})
await check('update one', wish().update({ price: 3 }).eq('title', 'Gouge').select('price, category(name)').single(), { data: { price: 3, category: null } })
await check('update none', wish().update({ price: 3 }).eq('title', 'none').select(), { data: [], status: 200 })
await check('update one of several', wish().update({ price: 3 }).gt('id', 0).select().single(), { status: 406, error: { code: 'PGRST116' } })
await check('maxAffected', wish().update({ price: 3 }).gt('id', 0).maxAffected(2), { status: 400, error: { code: 'PGRST124' } })
await check('maxAffected holds', wish().update({ price: 3 }).eq('title', 'Gouge').maxAffected(2), { status: 204 })
await check('nothing was updated', wish().select('price').eq('id', 1).single(), { data: { price: 13 } })
await check('delete', wish().delete({ count: 'exact' }).in('title', ['Anvil', 'Gouge']).select('title').order('title'), {
  data: titles('Anvil', 'Gouge'),
  count: 2,
  status: 200,
})
await check('delete quietly', wish().delete().eq('title', 'File'), { data: null, status: 204 })
await check('delete as member', member.from('loan').delete().gt('id', 0), { status: 403, error: { code: '42501' } })
await check('row-level security', member.from('loan').select('tool(name)').is('returned_on', null), { data: [{ tool: { name: 'Hedge trimmer' } }] })
await check('without a token', anon.from('loan').select(), { status: 401, error: { code: '42501' } })
await check('bad token', new PostgrestClient(url, { headers: { Authorization: 'Bearer x.y.z' } }).from('tool').select(), { status: 401, error: { code: 'PGRST301' } })

// ---------------------------------------------------------------- calls

await check('call', anon.rpc('add_up', { a: 1, b: 2 }), { data: 3, status: 200 })
await check('call with a default', anon.rpc('add_up', { a: 1 }), { data: 11 })
await check('call by get', anon.rpc('add_up', { a: 1, b: 5 }, { get: true }), { data: 6 })
await check('call by get with an array', anon.rpc('sum_of', { numbers: [1, 2, 3] }, { get: true }), { data: 6 })
await check('call with an array', anon.rpc('sum_of', { numbers: [1, 2, 3] }), { data: 6 })
await check('call with json', anon.rpc('echo', { value: { a: [1, 'ü'] } }), { data: { a: [1, 'ü'] } })
await check('call for rows', anon.rpc('wishes', { below: 50 }).select('title,price').gt('price', 12).order('price', { ascending: false }), {
  data: [{ title: STAND, price: 40 }, { title: WRENCH, price: 13 }],
})
await check('call and count', anon.rpc('wishes', {}, { count: 'exact' }).select('id').order('id').limit(1), { data: [{ id: 1 }], status: 206 })
await check('call by head', anon.rpc('wishes', {}, { head: true, count: 'exact' }), { data: null, status: 200 })
await check('call for one', anon.rpc('wishes').eq('id', 1).single(), { status: 200, error: null })
await check('call that embeds', anon.rpc('wishes').select('category(name)').eq('id', 1).single(), { data: { category: { name: 'Wood' } } })
await check('call for nothing', anon.rpc('forget', { title: 'Chisel' }), { data: null, status: 204 })
await check('call that refuses', anon.rpc('refuse'), { status: 418, error: { code: 'PT418', message: 'not today', details: 'a teapot', hint: 'try tomorrow' } })
await check('unknown function', anon.rpc('add_upp', { a: 1 }), { status: 404, error: { code: 'PGRST202' } })
await check('unknown argument', anon.rpc('add_up', { c: 1 }), { status: 404, error: { code: 'PGRST202' } })
await check('borrow', member.rpc('borrow', { tool_id: 3 }).select('tool_id,member_id'), { data: { tool_id: 3, member_id: 1 } })

// ---------------------------------------------------------------- the rest

const plan = await anon.from('tool').select().explain({ analyze: true, verbose: true, settings: true, buffers: true, wal: true })
await check('plan as text', { status: plan.status, data: /actual time/.test(plan.data) }, { status: 200, data: true })
const tree = await anon.from('tool').select().eq('id', 1).explain({ format: 'json' })
await check('plan as json', { status: tree.status, data: 'Plan' in (tree.data?.[0] ?? {}) }, { status: 200, data: true })
const abort = new AbortController()
setTimeout(() => abort.abort(), 50)
await check('abort', anon.rpc('nap', { seconds: 5 }).abortSignal(abort.signal), { data: null, status: 0 })
const many = await Promise.all(Array.from({ length: 200 }, (_, n) => anon.rpc('add_up', { a: n, b: 1 })))
await check('two hundred at once', { data: many.every(({ data }, n) => data === n + 1) }, { data: true })
const ids = Array.from({ length: 2000 }, (_, n) => n)
await check('a long url', anon.from('tool').select('id').in('id', ids).order('id').limit(1), { data: [{ id: 1 }], status: 200 })

console.log(`postgrest-js: ${passed} passed, ${failed} failed`)
process.exit(failed ? 1 : 0)
