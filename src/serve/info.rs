//! OPTIONS: what may be done with a relation, a routine or the root. Answered from the catalog alone, without a
//! connection and whatever the privileges are.

use super::{Scene, ServeError, answer};
use crate::catalog::{Relation, Volatility};
use crate::http::Reply;
use crate::name::QualifiedName;
use crate::observe::timing::Stage;
use crate::plan::{PlanError, call, plan_call};
use crate::respond::head;

const ROOT: &str = "OPTIONS,GET,HEAD";

pub fn root(scene: &Scene<'_>, reply: &mut Reply) {
    allow(scene, ROOT, reply);
}

pub fn relation(scene: &Scene<'_>, relation: &str, reply: &mut Reply) -> Result<(), ServeError> {
    let name = QualifiedName::new(scene.request.schema.as_ref(), relation);
    let found = scene.catalog.relation(&name);
    let found = found.ok_or_else(|| PlanError::relation_not_found(scene.catalog, &name))?;
    allow(scene, &relation_methods(found), reply);
    Ok(())
}

/// The routine is looked up as GET would, query string included. A volatile one may write, which GET and HEAD must not.
pub fn routine(scene: &Scene<'_>, reply: &mut Reply) -> Result<(), ServeError> {
    let routine = call::choose(scene.request, scene.catalog)?.as_ref();
    plan_call(scene.request, scene.catalog, routine, answer::plan_settings(scene, Some(routine)))?;
    let methods = match routine.volatility {
        Volatility::Volatile => "OPTIONS,POST",
        Volatility::Stable | Volatility::Immutable => "OPTIONS,GET,HEAD,POST",
    };
    allow(scene, methods, reply);
    Ok(())
}

fn allow(scene: &Scene<'_>, methods: &str, reply: &mut Reply) {
    scene.extras.observed.clock.mark(Stage::Plan);
    reply.head.set_status(200, None);
    reply.head.add("Access-Control-Allow-Origin", b"*");
    reply.head.add("Allow", methods.as_bytes());
    head::finish(&mut reply.head);
}

/// PUT needs both halves of an upsert and the key it is about.
fn relation_methods(relation: &Relation) -> String {
    let put = relation.insertable && relation.updatable && !relation.primary_key.is_empty();
    let mut methods = ROOT.to_owned();
    for (name, allowed) in
        [(",POST", relation.insertable), (",PUT", put), (",PATCH", relation.updatable), (",DELETE", relation.deletable)]
    {
        if allowed {
            methods.push_str(name);
        }
    }
    methods
}
