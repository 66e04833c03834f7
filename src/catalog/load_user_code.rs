//! Rows → the relations whose rows may run code that users wrote, and which could so set a response header: those with coded
//! columns, rules or policies, and what stands on any of these. Where any comparison may run such code: all relations.

use std::collections::{HashMap, HashSet};

use super::load::{LoadError, LoadedRows, QueryName};
use super::load_relations::Relations;

pub fn mark(results: &LoadedRows, relations: &mut Relations) -> Result<(), LoadError> {
    for mut row in results.rows(QueryName::CodedEverywhere)? {
        if row.boolean()? {
            relations.values_mut().for_each(|relation| relation.user_code = true);
            return Ok(());
        }
    }
    for oid in coded(results)? {
        if let Some(relation) = relations.get_mut(&oid) {
            relation.user_code = true;
        }
    }
    Ok(())
}

fn coded(results: &LoadedRows) -> Result<HashSet<u32>, LoadError> {
    let mut reached = Vec::new();
    for mut row in results.rows(QueryName::CodedColumns)? {
        let relation = row.oid()?;
        if row.boolean()? {
            reached.push(relation);
        }
    }
    let mut above: HashMap<u32, Vec<u32>> = HashMap::new();
    for mut row in results.rows(QueryName::CodedRules)? {
        let relation = row.oid()?;
        if row.boolean()? {
            reached.push(relation);
        }
        for below in row.oids()? {
            above.entry(below).or_default().push(relation);
        }
    }
    let mut coded = HashSet::new();
    while let Some(relation) = reached.pop() {
        if coded.insert(relation) {
            reached.extend(above.get(&relation).into_iter().flatten());
        }
    }
    Ok(coded)
}
