//! `/v1/workspaces/{ws}/tokens`: tokens that open this workspace only; made and revoked by the admin.
//!
//! | call | does |
//! |---|---|
//! | `POST` `{"ttl":"30d","subject":"jane@acme.example"}` | makes one → 201 `{"token","expires_at","subject"}`; both members may be left out |
//! | `GET` | lists those that open the workspace → `{"tokens":[{"id","subject","made_at","made_by","expires_at"}]}`, newest first |
//! | `DELETE …/{id}` | ends one, and the sessions that were begun with it → 204 |
//! | `DELETE` | ends every token and session of the workspace that there is → 204 |
//!
//! No token is stored: what opens a workspace is the signature, and the generation that it names. Its id is, with who
//! made it for whom.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::Required;

use crate::config::duration::{self, LIFETIME_UNITS};
use crate::config::{TOKEN_TTL_DEFAULT, TOKEN_TTL_MAX};
use crate::http::auth::caller::{ADMIN, AdminScope};
use crate::http::auth::jwt::{Audience, Claims};
use crate::http::body::{JsonBody, object};
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::problems::{ADMIN_ONLY, BODY, COMMAND, READ, TOKEN, WORKSPACE};
use crate::http::problem::{MemberError, Problem, ProblemKind};
use crate::http::state::FacadeState;
use crate::workspace::Time;
use crate::workspace::command::{Action, Refusal, TokenGrant};
use crate::workspace::pasted::{first, first_unseen, trimmed};

/// The longest subject in characters: a mail address or a name fits.
const SUBJECT_MAX: usize = 100;
/// The longest id of a token.
const TOKEN_ID_MAX: usize = 64;
/// Who holds a token of which nothing else is said.
const SUBJECT_DEFAULT: &str = "workspace";
/// Subjects that the change history gives to others: the holder of the admin token, and the service.
const RESERVED: [&str; 2] = [ADMIN, "outbound"];

/// How long a token lives: more than nothing, at most [`TOKEN_TTL_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl(Duration);

/// The text is no lifetime of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number and a unit, such as 12h or 30d, more than 0 and at most {} days", TOKEN_TTL_MAX.as_secs() / DAY)]
pub struct InvalidTtl;

const DAY: u64 = 24 * 60 * 60;

impl FromStr for Ttl {
    type Err = InvalidTtl;

    fn from_str(text: &str) -> Result<Self, InvalidTtl> {
        let ttl = duration::parse_in(text, &LIFETIME_UNITS, TOKEN_TTL_MAX).map_err(|_| InvalidTtl)?;
        if ttl.is_zero() { Err(InvalidTtl) } else { Ok(Self(ttl)) }
    }
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0.as_secs())
    }
}

/// A token that was made. It is shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = Token)]
pub(in crate::http) struct NewToken {
    /// What the list calls it.
    id: String,
    /// For `Authorization: Bearer <token>`, and for the screen.
    token: String,
    /// When it ends.
    expires_at: Time,
    /// Who holds it: the change history names them.
    subject: String,
}

pub(in crate::http) async fn mint(
    State(state): State<Arc<FacadeState>>,
    AdminScope(scope): AdminScope,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<NewToken>), Problem> {
    let TokenOptions { ttl, subject } = TokenOptions::parse(&body)?;
    let workspace = scope.workspace;
    let now = (state.facade.clock)();
    let (iat, exp) = (now.unix_seconds(), now.plus(ttl).unix_seconds());
    let expires_at = Time::from_unix_ms(exp.saturating_mul(1_000));
    let id = (state.facade.fresh_id)().simple().to_string();
    // Noted first: what opens the workspace is always known.
    let grant = TokenGrant { id: id.clone(), subject: subject.clone(), until: expires_at };
    state.submit(&workspace, scope.caller.subject(), Action::MakeToken(grant)).await?;
    // Read behind that: a token that all others were ended before opens the workspace.
    let stored = state.reader.snapshot(&workspace).await?;
    if stored.access.has_ended_token(&id) {
        let detail = "all tokens of the workspace were ended while this one was made; make it again";
        return Err(Problem::new(ProblemKind::Overloaded, detail));
    }
    let generation = stored.token_generation;
    let claims = Claims {
        aud: Audience::Api,
        ws: workspace,
        sub: subject.clone(),
        generation,
        iat,
        exp,
        jti: Some(id.clone()),
        adm: None,
        tok: None,
    };
    let token = state.facade.access.key.sign(&claims)?;
    Ok((StatusCode::CREATED, Json(NewToken { id, token, expires_at, subject })))
}

/// The tokens that open a workspace.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(in crate::http) struct TokenList {
    /// Newest first, at most 256.
    tokens: Vec<ListedToken>,
}

/// One of them. The token itself is shown once, when it is made.
#[derive(Serialize, ToSchema)]
struct ListedToken {
    /// By it one is ended.
    id: String,
    /// Who holds it.
    subject: String,
    /// When it was made.
    made_at: Time,
    /// Who made it.
    made_by: String,
    /// When it ends.
    expires_at: Time,
}

pub(in crate::http) async fn list(
    State(state): State<Arc<FacadeState>>,
    AdminScope(scope): AdminScope,
) -> Result<Json<TokenList>, Problem> {
    let snapshot = state.reader.snapshot(&scope.workspace).await?;
    let listed = snapshot.access.live_tokens((state.facade.clock)()).map(|token| ListedToken {
        id: token.id.clone(),
        subject: token.subject.clone(),
        made_at: token.at,
        made_by: token.by.clone(),
        expires_at: token.expires_at,
    });
    Ok(Json(TokenList { tokens: listed.collect() }))
}

pub(in crate::http) async fn end(
    State(state): State<Arc<FacadeState>>,
    AdminScope(scope): AdminScope,
    Path(place): Path<HashMap<String, String>>,
) -> Result<StatusCode, Problem> {
    let id = place.get("id").cloned().unwrap_or_default();
    // Longer than any that we make, it is none: nothing of it is stored.
    if id.len() > TOKEN_ID_MAX {
        return Err(Refusal::NoSuchToken.into());
    }
    state.submit(&scope.workspace, scope.caller.subject(), Action::EndToken { id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(in crate::http) async fn revoke(
    State(state): State<Arc<FacadeState>>,
    AdminScope(scope): AdminScope,
) -> Result<StatusCode, Problem> {
    state.submit(&scope.workspace, scope.caller.subject(), Action::RevokeTokens).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is asked of a new token.
struct TokenOptions {
    ttl: Duration,
    subject: String,
}

/// A token to make. A member that is not known is refused; null is as good as left out.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TokenRequest {
    /// How long it lives: a whole number and a unit of `s`, `m`, `h` or `d`, at most 365 days. Left out it is 90 days.
    #[schema(value_type = Option<String>, pattern = "^[0-9]+[smhd]$", example = "30d")]
    ttl: Option<Value>,
    /// Who gets it: the change history names them. Not `admin` and not `outbound`. Left out it is `workspace`.
    #[schema(
        value_type = Option<String>,
        max_length = 100,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
        example = "jane@acme.example"
    )]
    subject: Option<Value>,
}

impl TokenOptions {
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        let TokenRequest { ttl, subject } = match body {
            [] => TokenRequest::default(),
            body => object(body, ProblemKind::InvalidTokenRequest, "no token was made", r#"{"ttl":"30d"}"#)?,
        };
        let mut errors = Vec::new();
        let mut wrong = |member: &str, detail: String| errors.push(MemberError { member: member.to_owned(), detail });
        let ttl = ttl.map_or(Ok(Ttl(TOKEN_TTL_DEFAULT)), |ttl| ttl.as_str().unwrap_or_default().parse());
        let subject = subject.map_or_else(|| Ok(SUBJECT_DEFAULT.to_owned()), |subject| holder(&subject));
        if let Err(error) = &ttl {
            wrong("ttl", error.to_string());
        }
        if let Err(error) = &subject {
            wrong("subject", error.clone());
        }
        match (ttl, subject) {
            (Ok(Ttl(ttl)), Ok(subject)) => Ok(Self { ttl, subject }),
            _ => Err(Problem::invalid(ProblemKind::InvalidTokenRequest, "no token was made", errors)),
        }
    }
}

/// Who holds the token, as the change history will say.
fn holder(value: &Value) -> Result<String, String> {
    let typed = value.as_str().map(trimmed).unwrap_or_default();
    if !(1..=SUBJECT_MAX).contains(&typed.chars().count()) {
        return Err(format!("must be a string of 1 to {SUBJECT_MAX} characters, such as jane@acme.example"));
    }
    // The history shows it: nothing in it may hide, or look as somebody else.
    if let Some(found) = first(typed, |c| c != ' ' && first_unseen(c.encode_utf8(&mut [0; 4])).is_some()) {
        return Err(format!("holds {found}: delete it"));
    }
    if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(typed)) {
        return Err(format!("must not be {typed}: the change history calls somebody else so"));
    }
    Ok(typed.to_owned())
}

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    vec![
        ApiCall::post("/v1/workspaces/{workspace}/tokens", mint)
            .named("makeToken", "Make a token")
            .says(
                "The token opens the API and the screen of this workspace and nothing else; calls that say so need \
                 the admin token all the same. It is shown this once and kept nowhere; that it was made, by whom and \
                 for whom, stands in the list and in the history.",
            )
            .takes::<TokenRequest>(
                Required::False,
                "How long it lives and who gets it",
                &[sample!("token-request", "For somebody")],
            )
            .answers::<NewToken>(201, "The token", &[sample!("token", "For a month")])
            .refuses(&[
                TOKEN,
                ADMIN_ONLY,
                WORKSPACE,
                BODY,
                COMMAND,
                &[ProblemKind::InvalidJson, ProblemKind::InvalidTokenRequest, ProblemKind::TooManyTokens],
            ]),
        ApiCall::get("/v1/workspaces/{workspace}/tokens", list)
            .named("listTokens", "The tokens that open the workspace")
            .says("Those that were made, have not expired and were not ended, newest first, at most 256.")
            .answers::<TokenList>(200, "The tokens", &[sample!("tokens", "One for somebody")])
            .refuses(&[TOKEN, ADMIN_ONLY, WORKSPACE, READ]),
        ApiCall::delete("/v1/workspaces/{workspace}/tokens/{id}", end)
            .named("endToken", "End one token")
            .says("Ends the token and the sessions that were begun with it, at once and on every node.")
            .answers_nothing(204, "Ended")
            .refuses(&[TOKEN, ADMIN_ONLY, WORKSPACE, COMMAND]),
        ApiCall::delete("/v1/workspaces/{workspace}/tokens", revoke)
            .named("revokeTokens", "Revoke all tokens")
            .says("Ends every token and every session of the workspace that there is, at once and on every node.")
            .answers_nothing(204, "Revoked")
            .refuses(&[TOKEN, ADMIN_ONLY, WORKSPACE, COMMAND]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_a_number_and_a_unit_up_to_a_year() {
        for (text, seconds) in [("1s", 1), ("90m", 5_400), ("12h", 43_200), ("30d", 30 * DAY), ("365d", 365 * DAY)] {
            assert_eq!(text.parse(), Ok(Ttl(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "30", "d", "0d", "366d", "1w", " 1d", "-1d", "1.5h", "99999999999999999999d", "1ms"] {
            assert_eq!(text.parse::<Ttl>(), Err(InvalidTtl), "{text}");
        }
    }
}
