use dataflow_fuzz::fuzz;
use dataflow_tests::signer::{Signer, encoded, unsigned};
use serde_json::json;

use super::*;
use crate::oidc::keys;

const NOW: i64 = 1_800_000_000;
const EXPECTED: Expected<'_> = Expected { issuer: "https://id.example.org", client_id: "dataflow", nonce: "n-1", now: NOW };

fn claims() -> Value {
    json!({"iss": "https://id.example.org", "aud": "dataflow", "sub": "u-1", "nonce": "n-1", "iat": NOW - 5, "exp": NOW + 300})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn published(signers: &[&Signer]) -> Vec<SigningKey> {
    let set = json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()});
    keys::read(set.to_string().as_bytes()).expect("a set")
}

#[test]
fn a_token_of_each_algorithm_is_taken_and_no_bit_of_it_may_change() {
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let signer = Signer::new(algorithm, "k");
        let keys = published(&[&signer]);
        let token = signer.sign(&claims());
        let read = verify(&token, &keys, EXPECTED).expect(algorithm);
        assert_eq!((read.subject.as_str(), &read.claims["exp"]), ("u-1", &json!(NOW + 300)));
        let other = published(&[&Signer::new(algorithm, "k")]);
        assert_eq!(verify(&token, &other, EXPECTED), Err(TokenFault::Wrong("its signature does not hold")), "{algorithm}");
        let parts: Vec<_> = token.split('.').collect();
        for place in 0..3 {
            let mut bytes = URL_SAFE_NO_PAD.decode(parts[place]).expect("base64");
            for at in [0, bytes.len() / 2, bytes.len() - 1] {
                bytes[at] ^= 1;
                let mut bent: Vec<String> = parts.iter().map(ToString::to_string).collect();
                bent[place] = encoded(&bytes);
                assert!(verify(&bent.join("."), &keys, EXPECTED).is_err(), "{algorithm}: byte {at} of part {place}");
                bytes[at] ^= 1;
            }
        }
    }
}

#[test]
fn a_header_chooses_no_key_that_is_for_something_else() {
    let (rsa, curve) = (Signer::new("RS256", "r"), Signer::new("ES256", "c"));
    let keys = published(&[&rsa, &curve]);
    let wrong = |token: &str| match verify(token, &keys, EXPECTED) {
        Err(TokenFault::Wrong(fault)) => fault,
        other => panic!("{other:?}"),
    };
    let header = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    assert_eq!(wrong(&rsa.sign_under(&header("PS256", "r"), &claims())), "its key is for another algorithm");
    assert_eq!(wrong(&rsa.sign_under(&header("ES256", "r"), &claims())), "its key is for another algorithm");
    assert_eq!(wrong(&curve.sign_under(&header("RS256", "r"), &claims())), "its signature does not hold");
    for alg in ["none", "None", "HS256", "RS1", "ES512", "rs256", ""] {
        assert_eq!(wrong(&rsa.sign_under(&header(alg, "r"), &claims())), "its algorithm is none that is taken", "{alg}");
    }
    assert_eq!(wrong(&rsa.mac_under_public_key(&claims())), "its algorithm is none that is taken");
    assert_eq!(wrong(&unsigned(&claims())), "its algorithm is none that is taken");
    let critical = json!({"alg": "RS256", "kid": "r", "crit": ["b64"], "b64": false});
    assert_eq!(wrong(&rsa.sign_under(&critical, &claims())), "its header asks for what is not known here");
    assert_eq!(verify(&rsa.sign_under(&header("RS256", "x"), &claims()), &keys, EXPECTED), Err(TokenFault::UnknownKey));

    // Without a name the one key for the algorithm is meant, and of two neither.
    let unnamed = rsa.sign_under(&json!({"alg": "RS256"}), &claims());
    assert!(verify(&unnamed, &keys, EXPECTED).is_ok());
    let two = published(&[&rsa, &Signer::new("RS256", "s")]);
    assert_eq!(verify(&unnamed, &two, EXPECTED), Err(TokenFault::Wrong("it does not say which key signed it")));
    assert_eq!(verify(&unnamed, &published(&[&curve]), EXPECTED), Err(TokenFault::UnknownKey));
}

#[test]
fn each_claim_has_to_hold() {
    let signer = Signer::new("EdDSA", "k");
    let keys = published(&[&signer]);
    let taken = |claims: &Value| verify(&signer.sign(claims), &keys, EXPECTED).is_ok();
    for sound in [
        with("aud", json!(["dataflow"])),
        with("azp", json!("dataflow")),
        with("exp", json!(NOW - 59)),
        with("iat", json!(NOW + 60)),
        with("exp", json!(1_800_000_300.5)),
        with("nbf", json!(NOW + 60)),
    ] {
        assert!(taken(&sound), "{sound}");
    }
    let mut several = with("aud", json!(["other", "dataflow"]));
    assert!(!taken(&several), "nobody says for whom of the two it is");
    several["azp"] = json!("dataflow");
    assert!(taken(&several));
    let mut wrong = vec![
        with("iss", json!("https://id.example.org/")),
        with("iss", json!("https://ID.example.org")),
        with("aud", json!("Dataflow")),
        with("aud", json!(["other"])),
        with("aud", json!({"dataflow": true})),
        with("azp", json!("other")),
        with("azp", json!(null)),
        with("exp", json!(NOW - 60)),
        with("exp", json!(format!("{}", NOW + 300))),
        with("exp", json!(-1)),
        with("exp", json!("never")),
        with("iat", json!(NOW + 61)),
        with("iat", json!(1e300)),
        with("nbf", json!(NOW + 61)),
        with("nbf", json!("now")),
        with("nonce", json!("n-2")),
        with("nonce", json!(["n-1"])),
        with("sub", json!("")),
        with("sub", json!(7)),
        with("sub", json!("u\u{0}1")),
        with("sub", json!("ü")),
        with("sub", json!("u".repeat(256))),
        json!([claims()]),
        json!("claims"),
    ];
    for name in ["iss", "aud", "exp", "iat", "nonce", "sub"] {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(name);
        wrong.push(claims);
    }
    for claims in wrong {
        assert!(!taken(&claims), "{claims}");
    }
}

#[test]
fn fuzz_tokens_and_sets_of_keys() {
    let signers = ["RS256", "ES256", "EdDSA"].map(|algorithm| Signer::new(algorithm, algorithm));
    let set = json!({"keys": signers.iter().map(Signer::jwk).collect::<Vec<_>>()}).to_string();
    let keys = keys::read(set.as_bytes()).expect("a set");
    let tokens: Vec<_> = signers.iter().map(|signer| signer.sign(&claims())).collect();
    let corpus: Vec<&[u8]> = tokens.iter().map(String::as_bytes).collect();
    fuzz(&corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        assert!(verify(&text, &keys, EXPECTED).is_err() || tokens.iter().any(|token| *token == text), "{text}");
    });
    fuzz(&[set.as_bytes()], |bytes| {
        // Whatever is read of a bent set verifies nothing but what its keys signed.
        for token in keys::read(bytes).into_iter().flat_map(|keys| tokens.iter().map(move |token| verify(token, &keys, EXPECTED)))
        {
            assert!(token.is_err() || token.is_ok_and(|token| token.subject == "u-1"));
        }
    });
}
