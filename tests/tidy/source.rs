//! Rust source taken apart just far enough: code, comments, functions, modules.

/// A source file with the same lines twice: once only its code, once only its comments. What
/// belongs to the other, and what stands inside literals, is blank.
#[derive(Debug)]
pub(crate) struct Masked {
    pub(crate) code: String,
    pub(crate) comments: String,
}

#[derive(Copy, Clone, PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

pub(crate) fn mask(text: &str) -> Masked {
    let chars: Vec<char> = text.chars().collect();
    let mut masked = Masked { code: String::new(), comments: String::new() };
    let mut at = 0;
    while at < chars.len() {
        let (kind, length) = piece(&chars[at..], at.checked_sub(1).map(|before| chars[before]));
        for (index, &char) in chars[at..at + length].iter().enumerate() {
            // The quotes of a literal stay, so that a line with nothing else is still a line of
            // code.
            let is_quote = kind == Kind::Literal && (index == 0 || index + 1 == length);
            let blank = if char == '\n' { '\n' } else { ' ' };
            masked.code.push(if kind == Kind::Code || is_quote { char } else { blank });
            masked.comments.push(if kind == Kind::Comment { char } else { blank });
        }
        at += length;
    }
    masked
}

/// What starts here, and how many characters it takes.
fn piece(rest: &[char], before: Option<char>) -> (Kind, usize) {
    let starts = |text: &str| text.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c));
    if starts("//") {
        let end = rest.iter().position(|&char| char == '\n');
        return (Kind::Comment, end.unwrap_or(rest.len()));
    }
    if starts("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if starts("\"") {
        return (Kind::Literal, quoted(rest, '"'));
    }
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    if starts("r") && !before.is_some_and(|char| is_word(char) && char != 'b' && char != 'c') {
        let hashes = rest[1..].iter().take_while(|&&char| char == '#').count();
        if rest.get(1 + hashes) == Some(&'"') {
            return (Kind::Literal, raw(rest, hashes));
        }
    }
    if starts("'\\") || (starts("'") && rest.get(2) == Some(&'\'')) {
        return (Kind::Literal, quoted(rest, '\''));
    }
    (Kind::Code, 1)
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match (rest[at], rest.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            char if char == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw(rest: &[char], hashes: usize) -> usize {
    let body = hashes + 2;
    let is_end = |at: &usize| {
        rest[*at] == '"'
            && rest[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    (body..rest.len()).find(is_end).map_or(rest.len(), |at| at + 1 + hashes)
}

/// A word of the code, with where it starts.
pub(crate) fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let end = code[start..].find(|char| !is_word(char)).map_or(code.len(), |end| start + end);
        at = end;
        Some((start, &code[start..end]))
    })
}

/// A function with a body.
#[derive(Debug, PartialEq)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// From 1.
    pub(crate) line: usize,
    /// From the line of its name to that of its last brace.
    pub(crate) lines: usize,
}

pub(crate) fn functions(code: &str) -> Vec<Function<'_>> {
    let mut found = Vec::new();
    let mut after_fn = None;
    for (start, word) in words(code) {
        // With anything but space between, as in `fn(&mut u8)`, it is a type.
        let is_name = after_fn.is_some_and(|end: usize| code[end..start].trim().is_empty());
        if is_name && let Some((open, close)) = body(code, start) {
            let line = line_of(code, start);
            let lines = line_of(code, close) - line + 1;
            assert!(open < close, "a body of {word} opens before it closes");
            found.push(Function { name: word, line, lines });
        }
        after_fn = (word == "fn").then_some(start + word.len());
    }
    found
}

/// The braces of the body that follows a signature or a module's name; nothing if it ends in `;`.
fn body(code: &str, from: usize) -> Option<(usize, usize)> {
    let mut depth = 0;
    let open = code[from..].char_indices().find_map(|(index, char)| {
        match char {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(Some(from + index)),
            ';' if depth == 0 => return Some(None),
            _ => {}
        }
        None
    })??;
    let mut depth = 0;
    let close = code[open..].char_indices().find_map(|(index, char)| {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(open + index)
    })?;
    Some((open, close))
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The modules that a file declares and that stand in files of their own.
pub(crate) fn modules(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut previous = "";
    for (start, word) in words(code) {
        if previous == "mod" && code[start + word.len()..].trim_start().starts_with(';') {
            found.push(word);
        }
        previous = word;
    }
    found
}

/// The lines of code outside the tests that stand in the same file, and the lines of these.
pub(crate) fn lines_of_code(code: &str) -> (usize, usize) {
    let count = |code: &str| code.lines().filter(|line| !line.trim().is_empty()).count();
    let inline = code.find("#[cfg(test)]\nmod ").and_then(|start| body(code, start));
    let tests = inline.map_or(0, |(open, close)| count(&code[open..=close]));
    (count(code) - tests, tests)
}

#[test]
fn literals_and_comments_are_told_from_code() {
    let text =
        "let a = \"// no {\"; // yes\nlet b = r#\"fn x() { \" }\"#; /* a /* b */ c */ 'c' 'a";
    let masked = mask(text);
    assert_eq!(masked.code.len(), text.len());
    assert_eq!(masked.code.split_whitespace().collect::<Vec<_>>().join(" "), {
        "let a = \" \"; let b = r #; ' ' 'a"
    });
    let comments = masked.comments.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(comments, "// yes /* a /* b */ c */");
    assert_eq!(mask("'\\'' '{' '\\u{7d}' b'{'").code.matches(['{', '}']).count(), 0);
}

#[test]
fn functions_are_found_with_their_lengths() {
    let code = "fn a() {}\ntrait T { fn b(x: [u8; 4]); }\nfn c<F: Fn()>(f: fn(&mut u8))\nwhere\n F: Copy,\n{\n {}\n}";
    let expected =
        [Function { name: "a", line: 1, lines: 1 }, Function { name: "c", line: 3, lines: 6 }];
    assert_eq!(functions(code), expected);
}

#[test]
fn tests_inside_a_file_are_counted_apart() {
    let code = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
    assert_eq!(lines_of_code(code), (2, 3));
    assert_eq!(lines_of_code("mod a;\nmod b {}\n"), (2, 0));
    assert_eq!(modules("pub(crate) mod a;\nmod b {}\nmod c ;"), ["a", "c"]);
}
