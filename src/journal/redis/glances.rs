//! What the nodes that share this Redis know, as each told it last: for the operators' screen of any of them.

use redis::{Cmd, RedisError, Value};
use tracing::debug;

use super::error::{store_error, unexpected};
use super::inner::RedisInner;
use super::json::json;
use super::reply;
use super::script::Script;
use crate::config::{GLANCE_KEPT_FOR, GLANCE_OLD_AFTER, GLANCES_KEPT_MAX};
use crate::journal::port::{GlancesReading, StoreError, ToldGlance};
use crate::workspace::view::NodeGlance;

impl RedisInner {
    pub(super) async fn tell_glance(&self, glance: &NodeGlance) -> Result<(), StoreError> {
        let cmd = self.glances_cmd(&glance.process, &json(glance));
        let told = self.shared.call_repeatable(&self.keys.glances(), &cmd).await;
        told.map(drop).map_err(|error| store_error("telling the other nodes what this one knows", error))
    }

    pub(super) async fn read_glances(&self) -> Result<GlancesReading, StoreError> {
        let cmd = self.glances_cmd("", b"");
        let read = self.shared.call_repeatable(&self.keys.glances(), &cmd).await.and_then(reading);
        read.map_err(|error| store_error("reading what the nodes know", error))
    }

    fn glances_cmd(&self, process: &str, glance: &[u8]) -> Cmd {
        let mut cmd = self.connector.script(Script::Glances, &[self.keys.glances()]);
        cmd.arg(process).arg(glance).arg(GLANCE_KEPT_FOR.as_millis().to_string()).arg(GLANCES_KEPT_MAX);
        cmd.arg(GLANCE_OLD_AFTER.as_millis().to_string());
        cmd
    }
}

fn reading(answer: Value) -> Result<GlancesReading, RedisError> {
    let mut values = reply::list(answer)?.into_iter();
    let at = reply::unix_ms(values.next().ok_or_else(|| unexpected("a short answer"))?)?;
    let mut glances = Vec::with_capacity(values.len() / 2);
    while let (Some(told), Some(glance)) = (values.next(), values.next()) {
        let at = reply::unix_ms(told)?;
        match serde_json::from_slice(&reply::bytes(glance)?.unwrap_or_default()) {
            Ok(glance) => glances.push(ToldGlance { glance, at }),
            // The page says which node told nothing.
            Err(error) => debug!(%error, "What a node told of what it knows cannot be read."),
        }
    }
    Ok(GlancesReading { at, glances })
}
