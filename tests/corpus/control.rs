//! What holds for every datagram that comes to a `listen on`.

use pmtr::control::{commands, Command};

/// Any bytes are read as the model reads them.
pub fn check(datagram: &[u8]) {
    let found: Vec<Command<'_>> = commands(datagram).collect();
    assert_eq!(found, model(datagram));
    assert!(found.len() <= datagram.len().div_ceil(2).max(1));
}

/// The same in other words: split, then fold.
fn model(datagram: &[u8]) -> Vec<Command<'_>> {
    let space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0 || *byte == 0x0b;
    let mut words = datagram.split(space).filter(|word| !word.is_empty()).peekable();
    let is_verb = |word: &[u8]| word == b"enable" || word == b"disable";
    if !words.peek().is_some_and(|first| is_verb(first)) {
        return vec![Command::Invalid];
    }
    let mut is_enable = false;
    let mut found = Vec::new();
    for word in words {
        match word {
            b"enable" => is_enable = true,
            b"disable" => is_enable = false,
            name if is_enable => found.push(Command::Enable(name)),
            name => found.push(Command::Disable(name)),
        }
    }
    if found.is_empty() {
        found.push(Command::Invalid);
    }
    found
}
