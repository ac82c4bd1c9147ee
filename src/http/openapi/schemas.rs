//! The schemas of the description: how they are gathered, and those that no type derives: ids, times and
//! parameters.

use std::collections::BTreeMap;

use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, Object, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Ref, RefOr, Required, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::config::SHARDS_MAX;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::headers::HeaderName;
use crate::workspace::time::Time;

/// Schemas by name, as the document lists them.
#[derive(Default)]
pub(in crate::http) struct Schemas(pub(in crate::http) BTreeMap<String, RefOr<Schema>>);

impl Schemas {
    /// Adds `T` and what it is made of; answers with a reference to it.
    pub(in crate::http) fn add<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let name = T::name().into_owned();
        let mut parts = vec![(name.clone(), T::schema())];
        T::schemas(&mut parts);
        self.0.extend(parts);
        RefOr::Ref(Ref::from_schema_name(name))
    }

    pub(in crate::http) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

pub(in crate::http) fn text() -> Object {
    ObjectBuilder::new().schema_type(Type::String).build()
}

/// The parameter of that name in a path.
pub(in crate::http) fn path_parameter(path: &str, name: &str, schemas: &mut Schemas) -> Parameter {
    let (says, schema) = match name {
        "workspace" => ("The workspace's id", schemas.add::<WorkspaceId>()),
        "shard" => ("The shard, as the list of rejected entries names it", shard().into()),
        "id" if path.contains("/attempts/") => {
            let form = ObjectBuilder::new().schema_type(Type::String).pattern(Some(r"^\d{1,20}$"));
            ("The attempt's id, as the list names it", form.into())
        }
        "id" if path.contains("/tokens/") => {
            let form = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9a-f]{32}$"));
            ("The token's id, as the list names it", form.into())
        }
        "id" => ("The entry's id, as the list names it", schemas.add::<EntryId>()),
        _ => ("", String::schema()),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(says))
        .schema(Some(schema))
        .build()
}

/// The number of a shard; how many there are, only the service knows.
pub(in crate::http) fn shard() -> Schema {
    let last = f64::from(SHARDS_MAX - 1);
    Schema::Object(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0)).maximum(Some(last)).build())
}

/// An object of which nothing is said.
pub(in crate::http) fn anything() -> Schema {
    Schema::Object(ObjectBuilder::new().schema_type(Type::Object).build())
}

/// An array of `T`.
pub(in crate::http) fn array(of: RefOr<Schema>) -> Schema {
    Schema::Array(ArrayBuilder::new().items(of).build())
}

/// A string of that form.
pub(in crate::http) fn pattern(says: &str, pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(says)).pattern(Some(pattern))
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        let says = "A moment: RFC 3339, UTC, with milliseconds";
        let form = pattern(says, r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$").format(Some(format));
        form.into()
    }
}

impl ToSchema for Time {}

impl PartialSchema for WorkspaceId {
    fn schema() -> RefOr<Schema> {
        pattern("A workspace's id; `.` and `..` are none", r"^(?!\.{1,2}$)[A-Za-z0-9_.:-]{1,128}$").into()
    }
}

impl ToSchema for WorkspaceId {}

impl PartialSchema for EntryId {
    fn schema() -> RefOr<Schema> {
        pattern("An entry's id, `<milliseconds>-<number>`", r"^\d{1,20}-\d{1,20}$").into()
    }
}

impl ToSchema for EntryId {}

impl PartialSchema for HeaderName {
    fn schema() -> RefOr<Schema> {
        pattern("The name of a custom header, in lower case", r"^[a-z0-9!#$%&'*+.^_`|~-]+$").into()
    }
}

impl ToSchema for HeaderName {}
