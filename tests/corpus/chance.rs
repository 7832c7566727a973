//! What property tests make up, for the checks that the fuzzers use.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::{control, lines, state};

/// A job's output: text of all kinds, some of it long.
fn output() -> impl Strategy<Value = Vec<u8>> {
    let parts: [&[u8]; 14] = [
        b"a",
        b"\n",
        b"\r\n",
        b"\r",
        b"\t",
        b"\0",
        b"\x1b[31m",
        "é".as_bytes(),
        "€".as_bytes(),
        "🦀".as_bytes(),
        "\u{85}".as_bytes(),
        b"\xe2\x82",
        b"\xff",
        b"\xf0\x9f",
    ];
    let times = prop_oneof![4 => 1..4usize, 1 => 1000..5000usize];
    let part = (select(parts.to_vec()), times).prop_map(|(part, n)| part.repeat(n));
    vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_are_read_as_the_model_reads_them(datagram in vec(any::<u8>(), 0..300)) {
        control::check(&datagram);
    }

    #[test]
    fn any_words_are_read_as_the_model_reads_them(
        words in vec(
            prop_oneof!["enable", "disable", "[a-z]{0,3}", "[ \t\n\0]{0,2}", "enabl", "enablee"],
            0..30,
        )
    ) {
        control::check(words.join(" ").as_bytes());
    }

    #[test]
    fn lines_do_not_depend_on_how_the_text_comes(plan in vec(0..64u8, 16), text in output()) {
        lines::check(&[plan, text].concat());
    }

    #[test]
    fn pauses_lose_nothing_of_the_text(plan in vec(any::<u8>(), 16), text in output()) {
        lines::check(&[plan, text].concat());
    }

    #[test]
    fn valid_text_is_never_cut_inside_a_character(plan in vec(0..64u8, 16), text in "[a€🦀é\n]{0,9000}") {
        for record in lines::records(&plan, text.as_bytes()) {
            prop_assert!(String::from_utf8(record).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_a_state_file_that_does_no_harm(file in vec(any::<u8>(), 0..600)) {
        state::check(&file);
    }
}
