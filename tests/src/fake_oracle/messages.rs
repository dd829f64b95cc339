//! Numbers, texts and messages of TTC.

/// What is left to be read.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        self.0.split_off(..length)
    }

    fn number(&mut self) -> Option<u32> {
        let length = *self.take(1)?.first()?;
        if !matches!(length, 0 | 1 | 2 | 4) {
            return None;
        }
        Some(self.take(length.into())?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    pub fn counted(&mut self) -> Option<Vec<u8>> {
        match *self.take(1)?.first()? {
            0xff => None,
            0xfe => {
                let mut all = Vec::new();
                loop {
                    let length = usize::try_from(self.number()?).ok()?;
                    if length == 0 {
                        return Some(all);
                    }
                    all.extend(self.take(length)?);
                }
            }
            length => self.take(length.into()).map(<[u8]>::to_vec),
        }
    }

    /// After its length as a number, which has to be right.
    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.number()?).ok()?;
        let bytes = if length == 0 { Vec::new() } else { self.counted()? };
        String::from_utf8(bytes).ok().filter(|text| text.len() == length)
    }
}

/// Who signs in by this function, and the pairs that are said.
pub fn sign_in(message: &[u8], function: u8, mode: u32) -> Option<(String, Vec<(String, String)>)> {
    let mut rest = Reader(message);
    let [3, told, _, 1] = *rest.take(4)? else { return None };
    let (length, said_mode) = (usize::try_from(rest.number()?).ok()?, rest.number()?);
    if told != function || said_mode != mode || rest.take(1)? != [1] {
        return None;
    }
    let count = rest.number()?;
    if rest.take(2)? != [1, 1] {
        return None;
    }
    let user = String::from_utf8(rest.counted()?).ok().filter(|user| user.len() == length)?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((rest.text()?, rest.text()?));
        rest.number()?;
    }
    rest.0.is_empty().then_some((user, pairs))
}

/// What is written.
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn number(&mut self, number: u32) {
        match number {
            0 => self.0.push(0),
            1..=0xff => self.0.extend([&[1], &number.to_be_bytes()[3..]].concat()),
            0x100..=0xffff => self.0.extend([&[2], &number.to_be_bytes()[2..]].concat()),
            _ => self.0.extend([&[4], &number.to_be_bytes()[..]].concat()),
        }
    }

    pub fn counted(&mut self, bytes: &[u8]) {
        self.0.push(u8::try_from(bytes.len()).ok().filter(|length| *length < 253).expect("short"));
        self.0.extend(bytes);
    }

    pub fn pairs(&mut self, pairs: &[(&str, String, u32)]) {
        self.number(u32::try_from(pairs.len()).expect("few"));
        for (name, value, flags) in pairs {
            for text in [name, value.as_str()] {
                self.number(u32::try_from(text.len()).expect("short"));
                if !text.is_empty() {
                    self.counted(text.as_bytes());
                }
            }
            self.number(*flags);
        }
    }
}

/// An error, as it has fields up to 19c.
pub fn failed(number: u32, words: &str) -> Vec<u8> {
    let mut out = Writer(vec![4]);
    // Status and number of the call, row, error, arrays, cursor, place.
    for value in [1, 2, 0, number & 0xffff, 0, 0, 0, 0] {
        out.number(value);
    }
    out.0.extend([0; 6]);
    // The row: two numbers, a byte, two numbers.
    out.0.extend([0, 0, 0, 0, 0]);
    // The operating system's error, numbers of statement and call, filling, successes, and no logical row.
    out.0.extend([0, 0, 0, 0, 0, 0]);
    // No batch.
    out.0.extend([0, 0, 0]);
    out.number(number);
    out.0.push(0);
    if number != 0 {
        out.counted(words.as_bytes());
    }
    out.0
}
