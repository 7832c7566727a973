//! "Did you mean …?": which known word is close to an unknown one.

/// Longer words are not compared: no known one is that long.
const LONGEST: usize = 16;

/// The answer of that one of `known` which is closest to `word`, if one is close.
pub(super) fn closest<'k>(
    word: &[u8],
    known: impl Iterator<Item = (&'k str, &'k str)>,
) -> Option<&'k str> {
    known
        .filter_map(|(name, answer)| Some((distance(word, name.as_bytes())?, name.len(), answer)))
        .filter(|&(distance, length, _)| distance <= tolerated(length))
        .min_by_key(|&(distance, ..)| distance)
        .map(|(.., answer)| answer)
}

/// How many slips a known word of `length` bytes can have and still be recognised.
fn tolerated(length: usize) -> usize {
    match length {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    }
}

/// How many bytes must be added, left out, replaced or swapped with their
/// neighbour to make one word of the other (optimal string alignment). Upper
/// and lower case are the same. None for words that are too long to be compared.
fn distance(a: &[u8], b: &[u8]) -> Option<usize> {
    if a.len() > LONGEST || b.len() > LONGEST {
        return None;
    }
    // Row i holds the distances between the first i bytes of `a` and every start of `b`.
    let mut rows = [[0; LONGEST + 1]; 3];
    (0..=b.len()).for_each(|j| rows[0][j] = j);
    for i in 1..=a.len() {
        rows[i % 3][0] = i;
        for j in 1..=b.len() {
            let replaced = rows[(i - 1) % 3][j - 1] + usize::from(!same(a, i - 1, b, j - 1));
            let changed = 1 + rows[(i - 1) % 3][j].min(rows[i % 3][j - 1]);
            let swapped = i > 1 && j > 1 && same(a, i - 1, b, j - 2) && same(a, i - 2, b, j - 1);
            let swapped = if swapped { rows[(i - 2) % 3][j - 2] + 1 } else { usize::MAX };
            rows[i % 3][j] = replaced.min(changed).min(swapped);
        }
    }
    Some(rows[a.len() % 3][b.len()])
}

fn same(a: &[u8], i: usize, b: &[u8], j: usize) -> bool {
    a[i].eq_ignore_ascii_case(&b[j])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_one_byte_more_less_other_or_swapped() {
        for (word, slips) in [
            ("name", 0),
            ("Name", 0),
            ("nam", 1),
            ("namee", 1),
            ("nome", 1),
            ("naem", 1),
            ("mane", 2),
            ("", 4),
        ] {
            assert_eq!(distance(word.as_bytes(), b"name"), Some(slips), "{word}");
        }
        assert_eq!(distance(&[b'n'; 17], b"name"), None);
    }

    #[test]
    fn the_closest_one_within_reach_is_meant() {
        let known = || ["in", "env", "name", "ulimit"].into_iter().map(|name| (name, name));
        assert_eq!(closest(b"enw", known()), Some("env"));
        assert_eq!(closest(b"ulmt", known()), Some("ulimit"));
        assert_eq!(closest(b"IN", known()), Some("in"));
        assert_eq!(closest(b"on", known()), None);
        assert_eq!(closest(b"mane", known()), None);
        assert_eq!(closest(b"", known()), None);
    }
}
