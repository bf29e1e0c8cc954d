//! How many questions are in hand: bounded, for all and for each token, so that none keeps the others
//! waiting.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use nats_login::LoginName;

/// Of all tokens. Held ones are among them.
const MOST: usize = 2_048;

/// Of one.
const MOST_OF_ONE: usize = 64;

/// Cloning shares it.
#[derive(Clone, Default)]
pub(super) struct Turns {
    hands: Arc<Mutex<Hands>>,
}

#[derive(Default)]
struct Hands {
    all: usize,
    of: HashMap<LoginName, usize>,
}

/// Given back when it is dropped.
pub(super) struct Turn {
    turns: Turns,
    name: LoginName,
}

impl Turns {
    /// `None` if there are too many.
    pub(super) fn take(&self, name: &LoginName) -> Option<Turn> {
        let mut hands = self.hands.lock().unwrap_or_else(PoisonError::into_inner);
        let own = hands.of.get(name).copied().unwrap_or_default();
        if hands.all >= MOST || own >= MOST_OF_ONE {
            return None;
        }
        hands.all += 1;
        hands.of.insert(name.clone(), own + 1);
        Some(Turn { turns: self.clone(), name: name.clone() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut hands = self.turns.hands.lock().unwrap_or_else(PoisonError::into_inner);
        hands.all -= 1;
        if let Some(own) = hands.of.get_mut(&self.name) {
            *own -= 1;
            if *own == 0 {
                hands.of.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(token: &str) -> LoginName {
        LoginName::new("acct_1", token).expect("name")
    }

    #[test]
    fn one_token_leaves_room_for_others() {
        let turns = Turns::default();
        let taken: Vec<_> = (0..).map_while(|_| turns.take(&name("1"))).collect();
        assert_eq!(taken.len(), MOST_OF_ONE);
        let other = turns.take(&name("2")).expect("room");
        drop(taken);
        turns.take(&name("1")).expect("room again");
        drop(other);
        assert!(turns.hands.lock().expect("lock").of.is_empty());
    }

    #[test]
    fn there_is_an_end_for_all() {
        let turns = Turns::default();
        let taken: Vec<_> =
            (0..MOST + 1).filter_map(|it| turns.take(&name(&it.to_string()))).collect();
        assert_eq!(taken.len(), MOST);
    }
}
