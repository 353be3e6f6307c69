//! Huffman strings (RFC 7541 section 5.2 and appendix B).
//!
//! The code is canonical, so the lengths of its words give all of it. From them the compiler builds
//! a machine that reads four bits a step: its states are the inner nodes of the code's tree.

use crate::error::Rule;

const SYMBOLS: usize = 257;
const STATES: usize = 256;
const END_OF_STRING: usize = 256;
const LONGEST: u8 = 30;

/// The length of each symbol's word, in bits.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const CODES: [u32; SYMBOLS] = codes();
static STEPS: [[Step; 16]; STATES] = steps();

/// What four bits do in one state.
#[derive(Clone, Copy)]
struct Step {
    next: u8,
    symbol: u8,
    flags: u8,
}

/// `symbol` is complete.
const EMIT: u8 = 1;
/// A string may end here: what came since the last symbol is up to seven ones.
const END: u8 = 2;
/// No word begins like this, but the end of string, which must not come.
const FAIL: u8 = 4;

/// Appends what `input` stands for to `out`.
pub(crate) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Rule> {
    // The shortest word has five bits.
    out.reserve(input.len().saturating_mul(8) / 5);
    let mut state = 0u8;
    let mut flags = END;
    for byte in input {
        for nibble in [byte >> 4, byte & 0xf] {
            let step = step(state, nibble);
            if step.flags & EMIT != 0 {
                out.push(step.symbol);
            }
            flags = step.flags;
            if flags & FAIL != 0 {
                return Err(Rule::HpackHuffman);
            }
            state = step.next;
        }
    }
    if flags & END == 0 {
        Err(Rule::HpackHuffman)
    } else {
        Ok(())
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "256 states by a u8, 16 steps by a masked nibble"
)]
fn step(state: u8, nibble: u8) -> Step {
    STEPS[state as usize][(nibble & 0xf) as usize]
}

/// How many bytes [`encode`] would append.
pub(crate) fn encoded_len(input: &[u8]) -> usize {
    let bits: usize = input.iter().map(|byte| usize::from(length(*byte))).sum();
    bits.div_ceil(8)
}

/// Appends `input` as a Huffman string to `out`.
pub(crate) fn encode(input: &[u8], out: &mut Vec<u8>) {
    let mut bits = 0u64;
    let mut held = 0u32;
    for byte in input {
        let length = u32::from(length(*byte));
        bits = bits << length | u64::from(code(*byte));
        held = held.saturating_add(length);
        while held >= 8 {
            held = held.saturating_sub(8);
            out.push((bits >> held) as u8);
        }
    }
    if held > 0 {
        let pad = 8u32.saturating_sub(held);
        out.push((bits << pad) as u8 | 0xffu8 >> held);
    }
}

#[expect(clippy::indexing_slicing, reason = "257 lengths by a u8")]
fn length(byte: u8) -> u8 {
    LENGTHS[byte as usize]
}

#[expect(clippy::indexing_slicing, reason = "257 codes by a u8")]
fn code(byte: u8) -> u32 {
    CODES[byte as usize]
}

/// Words of one length count up in the order of their symbols; a longer word follows all shorter.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "compile time"
)]
const fn codes() -> [u32; SYMBOLS] {
    let mut codes = [0u32; SYMBOLS];
    let mut next = 0u32;
    let mut length = 1;
    while length <= LONGEST {
        next <<= 1;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] == length {
                codes[symbol] = next;
                next += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    codes
}

/// A child in the code's tree: 0 is none, up to `STATES` an inner node, above it a symbol.
type Tree = [[u16; 2]; STATES];
const LEAF: u16 = 1_000;

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "compile time"
)]
const fn tree() -> Tree {
    let mut tree = [[0u16; 2]; STATES];
    let mut nodes = 1u16;
    let mut symbol = 0;
    while symbol < SYMBOLS {
        let mut node = 0;
        let mut left = LENGTHS[symbol];
        while left > 0 {
            left -= 1;
            let bit = (CODES[symbol] >> left & 1) as usize;
            if left == 0 {
                tree[node][bit] = LEAF + symbol as u16;
            } else {
                if tree[node][bit] == 0 {
                    tree[node][bit] = nodes;
                    nodes += 1;
                }
                node = tree[node][bit] as usize;
            }
        }
        symbol += 1;
    }
    tree
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "compile time"
)]
const fn steps() -> [[Step; 16]; STATES] {
    let tree = tree();
    let mut may_end = [false; STATES];
    let mut node = 0;
    let mut ones = 0;
    while ones < 8 {
        may_end[node] = true;
        node = tree[node][1] as usize;
        ones += 1;
    }
    let mut steps = [[Step {
        next: 0,
        symbol: 0,
        flags: 0,
    }; 16]; STATES];
    let mut state = 0;
    while state < STATES {
        let mut nibble = 0;
        while nibble < 16 {
            let mut step = Step {
                next: 0,
                symbol: 0,
                flags: 0,
            };
            let mut node = state;
            let mut left = 4;
            while left > 0 {
                left -= 1;
                let child = tree[node][nibble >> left & 1];
                if child < LEAF {
                    node = child as usize;
                } else if child == LEAF + END_OF_STRING as u16 {
                    step.flags |= FAIL;
                    node = 0;
                } else {
                    step.flags |= EMIT;
                    step.symbol = (child - LEAF) as u8;
                    node = 0;
                }
            }
            if may_end[node] {
                step.flags |= END;
            }
            step.next = node as u8;
            steps[state][nibble] = step;
            nibble += 1;
        }
        state += 1;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541 appendix B: symbol, code (hexadecimal, aligned to the right), length.
    const APPENDIX_B: &str = include_str!("../../tests/corpus/huffman.txt");

    #[test]
    fn the_computed_code_is_that_of_the_rfc() {
        let mut lines = 0;
        for line in APPENDIX_B.lines() {
            let mut words = line.split(' ');
            let symbol: usize = words.next().unwrap().parse().unwrap();
            let code = u32::from_str_radix(words.next().unwrap(), 16).unwrap();
            let length: u8 = words.next().unwrap().parse().unwrap();
            assert_eq!(
                (CODES[symbol], LENGTHS[symbol]),
                (code, length),
                "symbol {symbol}"
            );
            lines += 1;
        }
        assert_eq!(lines, SYMBOLS);
    }

    #[test]
    fn every_pair_of_bytes_survives() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let (mut coded, mut plain) = (Vec::new(), Vec::new());
                encode(&[first, second], &mut coded);
                assert_eq!(coded.len(), encoded_len(&[first, second]));
                assert_eq!(decode(&coded, &mut plain), Ok(()));
                assert_eq!(plain, [first, second]);
            }
        }
    }

    #[test]
    fn wrong_padding_and_the_end_of_string_break_a_rule() {
        let fails = |input: &[u8]| decode(input, &mut Vec::new()) == Err(Rule::HpackHuffman);
        // `a` is 00011: padded with zeros, padded with eight more ones, followed by the end.
        assert!(fails(&[0b0001_1000]));
        assert!(fails(&[0b0001_1111, 0xff]));
        assert!(fails(&[0b0001_1111, 0xff, 0xff, 0xff, 0xff]));
        assert!(fails(&[0xff, 0xff, 0xff, 0xfc]));
        assert!(!fails(&[0b0001_1111]));
        assert!(!fails(&[]));
    }
}
