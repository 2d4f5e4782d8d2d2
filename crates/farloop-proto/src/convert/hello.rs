//! The first message of each side.

use farloop_core::frame::{Hello, HelloReply, Role};
use farloop_core::spec::FunctionDef;

use super::{WireError, actor, duration_from_wire, duration_to_wire, scalar, spec};
use crate::v1;

impl From<Hello> for v1::Hello {
    fn from(hello: Hello) -> Self {
        let role = match hello.role {
            Role::Client => v1::Role::Client,
            Role::Worker => v1::Role::Worker,
            Role::Operator => v1::Role::Operator,
        };
        Self {
            session: Some(hello.session.into()),
            protocol: hello.protocol,
            role: role.into(),
            name: hello.name,
            resume: hello.resume,
            received: hello.received,
            functions: hello.functions.into_iter().map(Into::into).collect(),
            slots: hello.slots,
            connection: hello.connection,
            acked: hello.acked,
            life: hello.life.map(Into::into),
            labels: spec::labels(&hello.labels),
            process: hello.process.map(scalar::id_to_wire),
        }
    }
}

impl TryFrom<v1::Hello> for Hello {
    type Error = WireError;
    fn try_from(hello: v1::Hello) -> Result<Self, WireError> {
        Ok(Self {
            session: scalar::id(hello.session, "the session")?,
            protocol: hello.protocol,
            role: match hello.role() {
                v1::Role::Client => Role::Client,
                v1::Role::Worker => Role::Worker,
                v1::Role::Operator => Role::Operator,
                v1::Role::Unspecified => return Err(WireError::Unknown { what: "role", value: hello.role }),
            },
            name: hello.name,
            resume: hello.resume,
            received: hello.received,
            functions: hello.functions.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            slots: hello.slots,
            connection: hello.connection,
            acked: hello.acked,
            life: hello.life.map(scalar::life).transpose()?,
            labels: spec::read_labels(hello.labels),
            process: hello.process.map(|id| scalar::whole(id.high, id.low)),
        })
    }
}

impl From<FunctionDef> for v1::FunctionDef {
    fn from(def: FunctionDef) -> Self {
        Self {
            name: def.name.as_ref().into(),
            fingerprint: def.fingerprint,
            parameters: def.args.into_iter().map(|(name, r#type)| v1::Parameter { name, r#type }).collect(),
            returns: def.returns,
            concurrency: def.concurrency,
            actor: def.actor.as_deref().map(actor::def_to_wire),
        }
    }
}

impl TryFrom<v1::FunctionDef> for FunctionDef {
    type Error = WireError;
    fn try_from(def: v1::FunctionDef) -> Result<Self, WireError> {
        Ok(Self {
            name: def.name.into(),
            fingerprint: def.fingerprint,
            args: def.parameters.into_iter().map(|p| (p.name, p.r#type)).collect(),
            returns: def.returns,
            concurrency: def.concurrency,
            actor: def.actor.map(actor::read_def).transpose()?,
        })
    }
}

impl From<HelloReply> for v1::HelloReply {
    fn from(reply: HelloReply) -> Self {
        use v1::hello_reply::Answer;
        let answer = match reply {
            HelloReply::Welcome { resumed, received, dead_after, max_payload, life, recovered, clock_ms } => {
                Answer::Welcome(v1::Welcome {
                    resumed,
                    received,
                    dead_after: Some(duration_to_wire(dead_after)),
                    max_payload,
                    life: life.map(Into::into),
                    recovered,
                    clock_ms,
                })
            }
            HelloReply::Rejected { reason, message } => Answer::Rejected(v1::Rejected { reason, message }),
        };
        Self { answer: Some(answer) }
    }
}

impl TryFrom<v1::HelloReply> for HelloReply {
    type Error = WireError;
    fn try_from(reply: v1::HelloReply) -> Result<Self, WireError> {
        use v1::hello_reply::Answer;
        match reply.answer.ok_or(WireError::Missing("the answer to the hello"))? {
            Answer::Welcome(v1::Welcome { resumed, received, dead_after, max_payload, life, recovered, clock_ms }) => {
                let dead_after = dead_after.ok_or(WireError::Missing("dead_after"))?;
                let dead_after = duration_from_wire(dead_after, "dead_after")?;
                let life = life.map(scalar::life).transpose()?;
                Ok(Self::Welcome { resumed, received, dead_after, max_payload, life, recovered, clock_ms })
            }
            Answer::Rejected(v1::Rejected { reason, message }) => Ok(Self::Rejected { reason, message }),
        }
    }
}
