//! Made-up embeddings: texts that share words have vectors that point the same way.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use llm_dialect::embedding::{Input, Reply, Request};

use crate::upstream::count;

/// The length of a vector where the caller wants none in particular.
const DIMENSIONS: usize = 256;
/// The longest that is made.
const MOST_DIMENSIONS: usize = 4096;

/// A vector of length one for each input.
pub fn reply(request: &Request, model: &str) -> Reply {
    let tokenizer = tiktoken_rs::o200k_base_singleton();
    let wanted = request.dimensions.and_then(|wanted| usize::try_from(wanted).ok());
    let dimensions = wanted.unwrap_or(DIMENSIONS).clamp(1, MOST_DIMENSIONS);
    let mut tokens = 0;
    let vectors = request.inputs.iter().map(|input| match input {
        Input::Text(text) => {
            tokens += count::of_text(tokenizer, text);
            vector(text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()), dimensions)
        }
        Input::Tokens(ids) => {
            tokens += ids.len() as u64;
            vector(ids.iter(), dimensions)
        }
    });
    let vectors = vectors.collect();
    Reply { model: model.to_owned(), vectors, input_tokens: Some(tokens) }
}

fn vector(words: impl Iterator<Item = impl std::fmt::Display>, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimensions];
    for word in words {
        let mut hasher = DefaultHasher::new();
        word.to_string().to_lowercase().hash(&mut hasher);
        let mut chance = fastrand::Rng::with_seed(hasher.finish());
        sum.iter_mut().for_each(|x| *x += chance.f32() - 0.5);
    }
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length == 0.0 {
        // Nothing was said: any direction will do, as long as it is the same.
        if let Some(first) = sum.first_mut() {
            *first = 1.0;
        }
        return sum;
    }
    sum.into_iter().map(|x| x / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likeness(a: &str, b: &str) -> f32 {
        let [a, b] = [a, b].map(|text| vector(text.split(' '), 256));
        a.iter().zip(&b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn likeness_follows_the_words() {
        assert!(likeness("the cat sat", "the cat sat") > 0.999);
        assert!(likeness("the cat sat", "the Cat slept") > likeness("the cat sat", "budgets hold well"));
        assert!((likeness("", "") - 1.0).abs() < 1e-6);
    }
}
