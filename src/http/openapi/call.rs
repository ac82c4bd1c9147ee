//! A call of the API: its route and its description in one place.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::handler::Handler;
use axum::routing::{self, MethodRouter};
use utoipa::ToSchema;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ContentBuilder, HeaderBuilder, HttpMethod, RefOr, Required, Response, Schema};

use super::problems;
use super::schemas::{Schemas, path_parameter, text};
use crate::http::problem::ProblemKind;
use crate::http::state::FacadeState;

/// An example: its name, a summary, and the JSON as it stands on the wire.
pub(in crate::http) struct JsonExample {
    pub(in crate::http) name: &'static str,
    pub(in crate::http) summary: &'static str,
    pub(in crate::http) json: &'static str,
}

/// The example of that name in `examples/`, for files of `api` and of this room.
macro_rules! sample {
    ($name:literal, $summary:literal) => {
        $crate::http::openapi::call::JsonExample {
            name: $name,
            summary: $summary,
            json: include_str!(concat!("../openapi/examples/", $name, ".json")),
        }
    };
}
pub(in crate::http) use sample;

/// The calls under one heading of the description.
pub(in crate::http) struct Heading {
    pub(in crate::http) name: &'static str,
    pub(in crate::http) says: &'static str,
    pub(in crate::http) calls: Vec<ApiCall>,
}

/// One call: its route and its description.
pub(in crate::http) struct ApiCall {
    pub(in crate::http) path: &'static str,
    pub(in crate::http) route: MethodRouter<Arc<FacadeState>>,
    /// Needs no token, and is answered however many requests there are.
    pub(in crate::http) is_open: bool,
    method: HttpMethod,
    operation: OperationBuilder,
    answers: BTreeMap<u16, Response>,
    problems: Vec<ProblemKind>,
    schemas: Schemas,
    sent: Option<String>,
    /// A body of another type that is taken, too.
    also: Option<(&'static str, Content)>,
}

/// The description of a call, ready to stand in the document.
pub(super) struct DescribedCall {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    pub(super) operation: Operation,
    pub(super) schemas: Schemas,
    /// The name of the schema that callers write.
    pub(super) sent: Option<String>,
}

impl ApiCall {
    pub(in crate::http) fn get<T: 'static>(path: &'static str, handler: impl Handler<T, Arc<FacadeState>>) -> Self {
        Self::new(HttpMethod::Get, path, routing::get(handler))
    }

    pub(in crate::http) fn put<T: 'static>(path: &'static str, handler: impl Handler<T, Arc<FacadeState>>) -> Self {
        Self::new(HttpMethod::Put, path, routing::put(handler))
    }

    pub(in crate::http) fn post<T: 'static>(path: &'static str, handler: impl Handler<T, Arc<FacadeState>>) -> Self {
        Self::new(HttpMethod::Post, path, routing::post(handler))
    }

    pub(in crate::http) fn delete<T: 'static>(path: &'static str, handler: impl Handler<T, Arc<FacadeState>>) -> Self {
        Self::new(HttpMethod::Delete, path, routing::delete(handler))
    }

    fn new(method: HttpMethod, path: &'static str, route: MethodRouter<Arc<FacadeState>>) -> Self {
        let mut schemas = Schemas::default();
        let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let parameters: Vec<Parameter> = names.map(|name| path_parameter(path, name, &mut schemas)).collect();
        let operation = OperationBuilder::new().parameters((!parameters.is_empty()).then_some(parameters));
        let (answers, problems) = (BTreeMap::new(), Vec::new());
        Self { path, route, is_open: false, method, operation, answers, problems, schemas, sent: None, also: None }
    }

    /// The operation's id, and what it does in a few words.
    pub(in crate::http) fn named(mut self, id: &str, summary: &str) -> Self {
        self.operation = self.operation.operation_id(Some(id)).summary(Some(summary));
        self
    }

    /// What there is to know beyond the summary.
    pub(in crate::http) fn says(mut self, description: &str) -> Self {
        self.operation = self.operation.description(Some(description));
        self
    }

    /// Needs no token, and is answered however many requests there are.
    pub(in crate::http) fn open(mut self) -> Self {
        self.is_open = true;
        self.operation = self.operation.security(SecurityRequirement::default());
        self
    }

    /// A parameter behind the `?`.
    pub(in crate::http) fn query(self, name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.parameter(ParameterIn::Query, name, description, schema)
    }

    /// A header that the caller may send.
    pub(in crate::http) fn header(self, name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        self.parameter(ParameterIn::Header, name, description, schema)
    }

    fn parameter(mut self, of: ParameterIn, name: &str, says: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        let parameter = ParameterBuilder::new().name(name).parameter_in(of).required(Required::False);
        let parameter = parameter.description(Some(says)).schema(Some(schema));
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// A body of JSON.
    pub(in crate::http) fn takes<T: ToSchema>(
        mut self,
        required: Required,
        description: &str,
        samples: &[JsonExample],
    ) -> Self {
        let content = json::<T>(&mut self.schemas, samples);
        self.sent = Some(T::name().into_owned());
        let body = RequestBodyBuilder::new()
            .description(Some(description))
            .required(Some(required))
            .content("application/json", content);
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// Takes a body of another type, too.
    pub(in crate::http) fn also_takes(mut self, media: &'static str, content: Content) -> Self {
        self.also = Some((media, content));
        self
    }

    /// An answer of JSON.
    pub(in crate::http) fn answers<T: ToSchema>(self, status: u16, description: &str, samples: &[JsonExample]) -> Self {
        let mut call = self;
        let content = json::<T>(&mut call.schemas, samples);
        call.answers_with(status, description, "application/json", content)
    }

    /// An answer without a body.
    pub(in crate::http) fn answers_nothing(mut self, status: u16, description: &str) -> Self {
        self.answers.insert(status, Response::new(description));
        self
    }

    /// An answer of any type.
    pub(in crate::http) fn answers_with(
        mut self,
        status: u16,
        description: &str,
        media: &str,
        content: Content,
    ) -> Self {
        let mut response = Response::new(description);
        response.content.insert(media.to_owned(), content.into());
        self.answers.insert(status, response);
        self
    }

    /// A header that goes with the answer of that status.
    pub(in crate::http) fn with_header(mut self, status: u16, name: &str, description: &str) -> Self {
        if let Some(response) = self.answers.get_mut(&status) {
            let header = HeaderBuilder::new().schema(Some(text())).description(Some(description));
            response.headers.insert(name.to_owned(), header.build().into());
        }
        self
    }

    /// Schemas that an answer refers to.
    pub(in crate::http) fn needs(mut self, schemas: Schemas) -> Self {
        self.schemas.extend(schemas);
        self
    }

    /// The problems that it may end in.
    pub(in crate::http) fn refuses(mut self, kinds: &[&[ProblemKind]]) -> Self {
        self.problems.extend(kinds.concat());
        self
    }

    /// The description, under the heading `tag`.
    pub(super) fn described(mut self, tag: &str) -> DescribedCall {
        for (status, response) in problems::responses(&self.problems) {
            self.answers.insert(status, response);
        }
        let mut operation = self.operation.tag(tag);
        for (status, response) in self.answers {
            operation = operation.response(status.to_string(), response);
        }
        let mut operation = operation.build();
        if let (Some((media, content)), Some(RefOr::T(body))) = (self.also, operation.request_body.as_mut()) {
            body.content.insert(media.to_owned(), content.into());
        }
        DescribedCall { method: self.method, path: self.path, operation, schemas: self.schemas, sent: self.sent }
    }
}

/// JSON of type `T` with examples.
pub(in crate::http) fn json<T: ToSchema>(schemas: &mut Schemas, samples: &[JsonExample]) -> Content {
    ContentBuilder::new()
        .schema(Some(schemas.add::<T>()))
        .examples_from_iter(samples.iter().map(|sample| (sample.name, sample.example())))
        .build()
}

impl JsonExample {
    pub(in crate::http) fn example(&self) -> Example {
        // What is no JSON would be missing, which the tests of the examples notice.
        ExampleBuilder::new().summary(self.summary).value(serde_json::from_str(self.json).ok()).build()
    }
}
