//! How one call of the API is described.

use std::collections::BTreeMap;

use utoipa::ToSchema;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ContentBuilder, HeaderBuilder, HttpMethod, RefOr, Required, Response, Schema};

use super::problems;
use super::schemas::{Schemas, path_parameter, text};
use crate::http::problem::ProblemKind;

/// An example: its name, a summary, and the JSON as it stands on the wire.
pub(super) struct JsonExample {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    pub(super) json: &'static str,
}

/// The example of that name in `examples/`.
macro_rules! sample {
    ($name:literal, $summary:literal) => {
        super::call::JsonExample {
            name: $name,
            summary: $summary,
            json: include_str!(concat!("examples/", $name, ".json")),
        }
    };
}
pub(super) use sample;

/// One call, as far as it is described.
pub(super) struct ApiCall {
    method: HttpMethod,
    path: &'static str,
    operation: OperationBuilder,
    answers: BTreeMap<u16, Response>,
    problems: Vec<ProblemKind>,
    schemas: Schemas,
    sent: Option<String>,
}

/// The same, ready to stand in the document.
pub(super) struct Described {
    pub(super) method: HttpMethod,
    pub(super) path: &'static str,
    pub(super) operation: Operation,
    pub(super) schemas: Schemas,
    /// The name of the schema that callers write.
    pub(super) sent: Option<String>,
}

impl ApiCall {
    /// A call named `id`, under the heading `tag`.
    pub(super) fn new(tag: &str, method: HttpMethod, path: &'static str, id: &str, summary: &str) -> Self {
        let mut schemas = Schemas::default();
        let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let parameters: Vec<Parameter> = names.map(|name| path_parameter(name, &mut schemas)).collect();
        let operation = OperationBuilder::new()
            .tag(tag)
            .operation_id(Some(id))
            .summary(Some(summary))
            .parameters((!parameters.is_empty()).then_some(parameters));
        Self { method, path, operation, answers: BTreeMap::new(), problems: Vec::new(), schemas, sent: None }
    }

    /// What there is to know beyond the summary.
    pub(super) fn says(mut self, description: &str) -> Self {
        self.operation = self.operation.description(Some(description));
        self
    }

    /// Needs no token.
    pub(super) fn open(mut self) -> Self {
        self.operation = self.operation.security(SecurityRequirement::default());
        self
    }

    /// A parameter behind the `?`.
    pub(super) fn query(mut self, name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Query)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(schema));
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// A body of JSON.
    pub(super) fn takes<T: ToSchema>(mut self, required: Required, description: &str, samples: &[JsonExample]) -> Self {
        let content = json::<T>(&mut self.schemas, samples);
        self.sent = Some(T::name().into_owned());
        let body = RequestBodyBuilder::new()
            .description(Some(description))
            .required(Some(required))
            .content("application/json", content);
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// An answer of JSON.
    pub(super) fn answers<T: ToSchema>(self, status: u16, description: &str, samples: &[JsonExample]) -> Self {
        let mut call = self;
        let content = json::<T>(&mut call.schemas, samples);
        call.answers_with(status, description, "application/json", content)
    }

    /// An answer without a body.
    pub(super) fn answers_nothing(mut self, status: u16, description: &str) -> Self {
        self.answers.insert(status, Response::new(description));
        self
    }

    /// An answer of any type.
    pub(super) fn answers_with(mut self, status: u16, description: &str, media: &str, content: Content) -> Self {
        let mut response = Response::new(description);
        response.content.insert(media.to_owned(), content.into());
        self.answers.insert(status, response);
        self
    }

    /// A header that goes with the answer of that status.
    pub(super) fn with_header(mut self, status: u16, name: &str, description: &str) -> Self {
        if let Some(response) = self.answers.get_mut(&status) {
            let header = HeaderBuilder::new().schema(Some(text())).description(Some(description));
            response.headers.insert(name.to_owned(), header.build().into());
        }
        self
    }

    /// Schemas that an answer refers to.
    pub(super) fn needs(mut self, schemas: Schemas) -> Self {
        self.schemas.extend(schemas);
        self
    }

    /// The problems that it may end in.
    pub(super) fn refuses(mut self, kinds: &[&[ProblemKind]]) -> Self {
        self.problems.extend(kinds.concat());
        self
    }

    pub(super) fn described(mut self) -> Described {
        for (status, response) in problems::responses(&self.problems) {
            self.answers.insert(status, response);
        }
        let mut operation = self.operation;
        for (status, response) in self.answers {
            operation = operation.response(status.to_string(), response);
        }
        Described {
            method: self.method,
            path: self.path,
            operation: operation.build(),
            schemas: self.schemas,
            sent: self.sent,
        }
    }
}

/// JSON of type `T` with examples.
pub(super) fn json<T: ToSchema>(schemas: &mut Schemas, samples: &[JsonExample]) -> Content {
    ContentBuilder::new()
        .schema(Some(schemas.add::<T>()))
        .examples_from_iter(samples.iter().map(|sample| (sample.name, sample.example())))
        .build()
}

impl JsonExample {
    pub(super) fn example(&self) -> Example {
        // What is no JSON would be missing, which the tests of the examples notice.
        ExampleBuilder::new().summary(self.summary).value(serde_json::from_str(self.json).ok()).build()
    }
}
