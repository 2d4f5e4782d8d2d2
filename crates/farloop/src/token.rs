//! Bearer tokens: how a process finds its own. The file may be the coordinator's: one token for everybody, or lines of
//! `client TOKEN`, `worker TOKEN`, `operator TOKEN`; `#` begins a comment.

use std::path::Path;

use crate::error::{Error, Result};

/// Whose token is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A program that calls.
    Client,
    /// A program that runs what is called.
    Worker,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Worker => "worker",
        }
    }
}

/// `FARLOOP_TOKEN`, or else what the file holds that `FARLOOP_TOKEN_FILE` names; none if neither is set.
///
/// # Errors
/// As [`from_file`].
pub fn from_env(side: Side) -> Result<Option<String>> {
    let variable = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
    if let Some(token) = variable("FARLOOP_TOKEN") {
        return Ok(Some(token));
    }
    let Some(path) = variable("FARLOOP_TOKEN_FILE") else { return Ok(None) };
    from_file(&path, side)
        .map(Some)
        .map_err(|error| Error::msg(format!("FARLOOP_TOKEN_FILE={path} can't be used: {error}")))
}

/// The token for that side in a file.
///
/// # Errors
/// The file can't be read, or holds none for that side.
pub fn from_file(path: impl AsRef<Path>, side: Side) -> Result<String> {
    let path = path.as_ref();
    let text =
        std::fs::read_to_string(path).map_err(|e| Error::msg(format!("{} can't be read: {e}", path.display())))?;
    within(&text, side).ok_or_else(|| Error::msg(format!("{} holds no token for a {}", path.display(), side.name())))
}

fn within(text: &str, side: Side) -> Option<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [token] => Some(token.to_owned()),
            [role, token] if role == side.name() => Some(token.to_owned()),
            _ => None,
        })
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_finds_its_own_token() {
        assert_eq!(within("# ours\n\n  secret \n", Side::Client).as_deref(), Some("secret"));
        let roles = "operator o1\nworker w1 # for the workers\nclient c1\n";
        assert_eq!(within(roles, Side::Worker).as_deref(), Some("w1"));
        assert_eq!(within(roles, Side::Client).as_deref(), Some("c1"));
        assert_eq!(within("operator o1\n", Side::Client), None);
    }
}
