//! A routine in the document: its path.

use super::object::{Members, Object};
use super::relation::write_response;
use super::{ROUTINE_MEDIA, write_summary};
use crate::catalog::{Parameter, Routine, Volatility};
use crate::respond::openapi_type::{self, SwaggerType, element, format};

/// A parameter and the name of its type, which the caller may see shorter than the catalog does.
type Typed<'p> = (&'p Parameter, &'p str);

/// `/rpc/routine`: POST, and GET where the routine changes nothing. Of several overloads the last one stays.
pub fn write_path(paths: &mut Members, routine: &Routine, type_names: Option<&[String]>) {
    let type_name = |index: usize, parameter: &'_ Parameter| -> String {
        let seen = type_names.and_then(|names| names.get(index));
        seen.unwrap_or(&parameter.type_name).clone()
    };
    let names: Vec<String> =
        routine.parameters.iter().enumerate().map(|(index, parameter)| type_name(index, parameter)).collect();
    let parameters: Vec<Typed<'_>> = routine.parameters.iter().zip(names.iter().map(String::as_str)).collect();
    paths.insert(format!("/rpc/{}", routine.name.name), |object| {
        match routine.volatility {
            Volatility::Volatile => {}
            Volatility::Stable | Volatility::Immutable => {
                object.object("get", |object| write_get(object, routine, &parameters));
            }
        }
        object.object("post", |object| write_post(object, routine, &parameters));
    });
}

fn write_get(object: &mut Object<'_>, routine: &Routine, parameters: &[Typed<'_>]) {
    write_summary(object, routine.description.as_deref());
    if !parameters.is_empty() {
        object.array("parameters", |array| {
            for &(parameter, type_name) in parameters {
                array.object(|object| write_query_parameter(object, parameter, type_name));
            }
        });
    }
    write_rest(object, routine);
}

fn write_query_parameter(object: &mut Object<'_>, parameter: &Parameter, type_name: &str) {
    if parameter.variadic {
        object.text("collectionFormat", "multi");
        object.object("items", |object| {
            object.text("format", format(element(type_name)));
            object.optional_text("type", SwaggerType::of(element(type_name)).map(SwaggerType::as_str));
        });
        object.text("type", SwaggerType::of(type_name).unwrap_or(SwaggerType::String).as_str());
    } else {
        object.text("format", format(type_name));
        object.text("type", SwaggerType::of_query(type_name).as_str());
    }
    object.text("in", "query");
    object.text("name", &parameter.name);
    object.json("required", if parameter.required { b"true" } else { b"false" });
}

fn write_post(object: &mut Object<'_>, routine: &Routine, parameters: &[Typed<'_>]) {
    write_summary(object, routine.description.as_deref());
    object.array("parameters", |array| {
        array.object(|object| {
            object.text("in", "body");
            object.text("name", "args");
            object.json("required", b"true");
            object.object("schema", |object| write_arguments(object, routine, parameters));
        });
        array.reference("parameters", "preferParams");
    });
    write_rest(object, routine);
}

fn write_arguments(object: &mut Object<'_>, routine: &Routine, parameters: &[Typed<'_>]) {
    object.optional_text("description", routine.description.as_deref());
    if !parameters.is_empty() {
        object.object("properties", |object| {
            for &(parameter, type_name) in parameters {
                object.object(&parameter.name, |object| openapi_type::write(object, type_name));
            }
        });
    }
    let required = parameters.iter().filter(|(parameter, _)| parameter.required);
    object.optional_texts("required", required.map(|(parameter, _)| parameter.name.as_str()));
    object.text("type", "object");
}

fn write_rest(object: &mut Object<'_>, routine: &Routine) {
    object.texts("produces", ROUTINE_MEDIA);
    object.object("responses", |object| write_response(object, "200", "OK"));
    object.texts("tags", [format!("(rpc) {}", routine.name.name).as_str()]);
}
