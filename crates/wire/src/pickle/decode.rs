//! Bytes to values.
//!
//! A pickle is a program for a stack machine. Ours has no opcode that could call anything: a class is a name, kept only if it is
//! on the caller's list, and becomes an exception or text.

use std::collections::HashMap;

use portcullis_value::{Exception, Value};

use super::Error;
use super::literal::{ascii, float, int, little_endian, long, raw_unicode_escape, slot, unescape, utf8};
// The opcodes are the vocabulary of this file.
#[allow(clippy::wildcard_imports)]
use super::opcode::*;

/// What a pickle may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the pickle.
    pub bytes: usize,
    /// Objects that it makes, and values in the result (they may be more, as an object may occur twice).
    pub items: usize,
    /// Levels of nesting.
    pub depth: usize,
}

impl Default for Limits {
    /// Room for the configuration of thousands of jails; far from what a machine would notice.
    fn default() -> Self {
        Limits { bytes: 16 << 20, items: 1 << 20, depth: 32 }
    }
}

/// Which classes a pickle may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// None: requests are lists of words.
    Refused,
    /// Text and exceptions of Python, of Fail2ban and of its JSON reader: what replies hold.
    Replies,
}

impl Classes {
    /// The class by its present name, if it may be named.
    fn named(self, module: &str, name: &str) -> Result<String, Error> {
        // Protocols below 3 use the names that Python 2 had.
        let module = match module {
            "exceptions" | "__builtin__" => "builtins",
            module => module,
        };
        let class = format!("{module}.{name}");
        let harmless = match module {
            "builtins" => {
                matches!(name, "str" | "Exception" | "KeyboardInterrupt" | "SystemExit" | "StopIteration")
                    || ["Error", "Exception", "Warning"].iter().any(|end| name.ends_with(end))
            }
            "fail2ban.exceptions" => true,
            "fail2ban.server.failregex" => name == "RegexException",
            "json.decoder" => name == "JSONDecodeError",
            _ => false,
        };
        if self == Classes::Replies && harmless { Ok(class) } else { Err(Error::Class(class)) }
    }
}

/// The value in a pickle of any protocol. What stands behind its end is ignored, as Python does.
///
/// Of integers only those of 64 bits are read. Lone surrogates in text become U+FFFD.
///
/// # Errors
/// What is no pickle, a class that may not be named, or more than the limits.
pub fn decode(pickle: &[u8], classes: Classes, limits: Limits) -> Result<Value, Error> {
    if pickle.len() > limits.bytes {
        return Err(Error::Limit("size"));
    }
    let mut machine = Machine {
        input: pickle,
        classes,
        limits,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let root = machine.run()?;
    let mut items = limits.items;
    machine.value(root, limits.depth, &mut items)
}

/// An object that the pickle makes. Others are referred to by their index, as they may change later.
enum Node {
    Plain(Value),
    List(Vec<usize>),
    Tuple(Vec<usize>),
    Set(Vec<usize>),
    Dict(Vec<(usize, usize)>),
    Class(String),
    Exception { class: String, args: Vec<usize> },
}

impl Node {
    /// Python's name of what it is.
    fn type_name(&self) -> String {
        let name = match self {
            Node::Plain(value) => value.type_name(),
            Node::List(_) => "list",
            Node::Tuple(_) => "tuple",
            Node::Set(_) => "set",
            Node::Dict(_) => "dict",
            Node::Class(_) => "type",
            Node::Exception { .. } => "Exception",
        };
        name.to_owned()
    }
}

struct Machine<'p> {
    input: &'p [u8],
    classes: Classes,
    limits: Limits,
    nodes: Vec<Node>,
    stack: Vec<usize>,
    /// Heights of the stack where a mark was set.
    marks: Vec<usize>,
    memo: HashMap<u64, usize>,
}

impl<'p> Machine<'p> {
    fn take(&mut self, length: usize) -> Result<&'p [u8], Error> {
        let (taken, rest) = self.input.split_at_checked(length).ok_or(Error::Truncated)?;
        self.input = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self.input.split_first_chunk().ok_or(Error::Truncated)?;
        self.input = rest;
        Ok(*taken)
    }

    /// Bytes with their length, of so many bytes, before them.
    fn counted<const N: usize>(&mut self) -> Result<&'p [u8], Error> {
        let mut length = [0; 8];
        length[..N].copy_from_slice(&self.array::<N>()?);
        self.take(usize::try_from(u64::from_le_bytes(length)).map_err(|_| Error::Truncated)?)
    }

    /// The rest of the line.
    fn line(&mut self) -> Result<&'p [u8], Error> {
        let end = self.input.iter().position(|byte| *byte == b'\n').ok_or(Error::Truncated)?;
        let line = self.take(end + 1)?;
        Ok(&line[..end])
    }

    /// The rest of the line, which must not be empty.
    fn argument(&mut self, opcode: u8) -> Result<&'p str, Error> {
        match self.line()? {
            [] => Err(Error::Truncated),
            line => std::str::from_utf8(line).map_err(|_| Error::Argument(opcode)),
        }
    }

    fn push(&mut self, node: Node) -> Result<(), Error> {
        if self.nodes.len() >= self.limits.items {
            return Err(Error::Limit("items"));
        }
        self.nodes.push(node);
        self.stack.push(self.nodes.len() - 1);
        Ok(())
    }

    fn plain(&mut self, value: impl Into<Value>) -> Result<(), Error> {
        self.push(Node::Plain(value.into()))
    }

    /// What Python 2 wrote of its strings: Python 3 reads ASCII only.
    fn ascii(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let text = ascii(bytes)?;
        self.plain(text)
    }

    fn text(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let text = utf8(bytes)?;
        self.plain(text)
    }

    fn top(&self) -> Result<usize, Error> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(top) if self.stack.len() > floor => Ok(*top),
            _ => Err(Error::Underflow),
        }
    }

    fn pop(&mut self) -> Result<usize, Error> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Result<Vec<usize>, Error> {
        let height = self.marks.pop().ok_or(Error::NoMark)?;
        Ok(self.stack.split_off(height))
    }

    fn tuple_of<const N: usize>(&mut self) -> Result<(), Error> {
        let mut items = (0..N).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Node::Tuple(items))
    }

    fn append(&mut self, opcode: u8, mut items: Vec<usize>) -> Result<(), Error> {
        let top = self.top()?;
        match (opcode, &mut self.nodes[top]) {
            (APPEND | APPENDS, Node::List(list)) | (ADDITEMS, Node::Set(list)) => list.append(&mut items),
            (ADDITEMS, other) => return Err(Error::Object(other.type_name(), "has no attribute 'add'")),
            (_, other) => return Err(Error::Object(other.type_name(), "has no attribute 'append'")),
        }
        Ok(())
    }

    fn set_items(&mut self, opcode: u8, items: Vec<usize>) -> Result<(), Error> {
        let pairs = pairs(opcode, &items)?;
        let top = self.top()?;
        match &mut self.nodes[top] {
            Node::Dict(dict) => dict.extend(pairs),
            other => return Err(Error::Object(other.type_name(), "does not support item assignment")),
        }
        Ok(())
    }

    fn memoize(&mut self, slot: u64) -> Result<(), Error> {
        let top = self.top()?;
        if self.memo.len() >= self.limits.items {
            return Err(Error::Limit("items"));
        }
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u64) -> Result<(), Error> {
        let node = *self.memo.get(&slot).ok_or(Error::NoMemo(slot))?;
        self.stack.push(node);
        Ok(())
    }

    fn run(&mut self) -> Result<usize, Error> {
        loop {
            let [opcode] = self.array().map_err(|_| Error::OutOfInput)?;
            if opcode == STOP {
                // An open mark is no object, but objects behind it are.
                return match self.marks.last() {
                    Some(height) if *height == self.stack.len() => Err(Error::UnexpectedMark),
                    _ => self.pop(),
                };
            }
            // Opcodes that only push what is there already make no node.
            if self.stack.len() > self.limits.items || self.marks.len() > self.limits.items {
                return Err(Error::Limit("items"));
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), Error> {
        match opcode {
            PROTO => match self.array()? {
                [protocol] if protocol > 5 => Err(Error::Protocol(protocol)),
                _ => Ok(()),
            },
            FRAME => {
                let length = u64::from_le_bytes(self.array()?);
                if length > self.input.len() as u64 { Err(Error::Truncated) } else { Ok(()) }
            }
            NONE => self.plain(Value::None),
            NEWTRUE => self.plain(true),
            NEWFALSE => self.plain(false),
            BININT | BININT1 | BININT2 | LONG1 | LONG4 | INT | LONG => self.integer(opcode),
            BINFLOAT => {
                let number = f64::from_be_bytes(self.array()?);
                self.plain(number)
            }
            FLOAT => {
                let number = float(self.argument(opcode)?)?;
                self.plain(number)
            }
            STRING | UNICODE | SHORT_BINSTRING | SHORT_BINUNICODE | BINSTRING | BINUNICODE | BINUNICODE8
            | SHORT_BINBYTES | BINBYTES | BINBYTES8 | BYTEARRAY8 => self.string(opcode),
            MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            POP if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
                Ok(())
            }
            POP => self.pop().map(drop),
            POP_MARK => self.pop_mark().map(drop),
            DUP => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            EMPTY_LIST => self.push(Node::List(Vec::new())),
            EMPTY_TUPLE => self.push(Node::Tuple(Vec::new())),
            EMPTY_SET => self.push(Node::Set(Vec::new())),
            EMPTY_DICT => self.push(Node::Dict(Vec::new())),
            LIST | TUPLE | FROZENSET => {
                let items = self.pop_mark()?;
                self.push(match opcode {
                    LIST => Node::List(items),
                    TUPLE => Node::Tuple(items),
                    _ => Node::Set(items),
                })
            }
            DICT => {
                let items = self.pop_mark()?;
                self.push(Node::Dict(pairs(opcode, &items)?))
            }
            TUPLE1 => self.tuple_of::<1>(),
            TUPLE2 => self.tuple_of::<2>(),
            TUPLE3 => self.tuple_of::<3>(),
            APPEND => {
                let item = self.pop()?;
                self.append(opcode, vec![item])
            }
            APPENDS | ADDITEMS => {
                let items = self.pop_mark()?;
                self.append(opcode, items)
            }
            SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(opcode, vec![key, value])
            }
            SETITEMS => {
                let items = self.pop_mark()?;
                self.set_items(opcode, items)
            }
            PUT | BINPUT | LONG_BINPUT | GET | BINGET | LONG_BINGET | MEMOIZE => self.memo(opcode),
            GLOBAL => {
                let module = self.argument(opcode)?;
                let name = self.argument(opcode)?;
                let class = self.classes.named(module, name)?;
                self.push(Node::Class(class))
            }
            STACK_GLOBAL | REDUCE | NEWOBJ | BUILD => self.object(opcode),
            PERSID | BINPERSID | INST | OBJ | EXT1 | EXT2 | EXT4 | NEWOBJ_EX | NEXT_BUFFER
            | READONLY_BUFFER => Err(Error::Class("an object".into())),
            other => Err(Error::InvalidOpcode(other)),
        }
    }

    fn integer(&mut self, opcode: u8) -> Result<(), Error> {
        let number = match opcode {
            BININT => i64::from(i32::from_le_bytes(self.array()?)),
            BININT1 => i64::from(self.array::<1>()?[0]),
            BININT2 => i64::from(u16::from_le_bytes(self.array()?)),
            LONG1 => little_endian(self.counted::<1>()?)?,
            LONG4 => {
                if self.input.get(3).is_some_and(|high| high & 0x80 != 0) {
                    return Err(Error::NegativeCount);
                }
                little_endian(self.counted::<4>()?)?
            }
            LONG => long(self.argument(opcode)?)?,
            _ => match self.argument(opcode)? {
                "00" => return self.plain(false),
                "01" => return self.plain(true),
                line => int(line)?,
            },
        };
        self.plain(number)
    }

    fn string(&mut self, opcode: u8) -> Result<(), Error> {
        match opcode {
            SHORT_BINSTRING => {
                let bytes = self.counted::<1>()?;
                self.ascii(bytes)
            }
            BINSTRING => {
                let bytes = self.counted::<4>()?;
                self.ascii(bytes)
            }
            SHORT_BINUNICODE => {
                let bytes = self.counted::<1>()?;
                self.text(bytes)
            }
            BINUNICODE => {
                let bytes = self.counted::<4>()?;
                self.text(bytes)
            }
            BINUNICODE8 => {
                let bytes = self.counted::<8>()?;
                self.text(bytes)
            }
            SHORT_BINBYTES => {
                let bytes = self.counted::<1>()?.to_vec();
                self.plain(Value::Bytes(bytes))
            }
            BINBYTES => {
                let bytes = self.counted::<4>()?.to_vec();
                self.plain(Value::Bytes(bytes))
            }
            BINBYTES8 | BYTEARRAY8 => {
                let bytes = self.counted::<8>()?.to_vec();
                self.plain(Value::Bytes(bytes))
            }
            UNICODE => {
                let text = raw_unicode_escape(self.line()?)?;
                self.plain(text)
            }
            _ => match self.line()? {
                [first @ (b'\'' | b'"'), inner @ .., last] if first == last => {
                    let bytes = unescape(inner)?;
                    self.ascii(&bytes)
                }
                _ => Err(Error::Unquoted),
            },
        }
    }

    fn memo(&mut self, opcode: u8) -> Result<(), Error> {
        let slot = match opcode {
            MEMOIZE => self.memo.len() as u64,
            BINPUT | BINGET => u64::from(self.array::<1>()?[0]),
            LONG_BINPUT | LONG_BINGET => u64::from(u32::from_le_bytes(self.array()?)),
            _ => {
                let slot = slot(self.argument(opcode)?)?;
                u64::try_from(slot)
                    .map_err(|_| if opcode == PUT { Error::NegativePut } else { Error::NoMemo(0) })?
            }
        };
        if matches!(opcode, GET | BINGET | LONG_BINGET) { self.recall(slot) } else { self.memoize(slot) }
    }

    /// Classes, and the few objects that they may become.
    fn object(&mut self, opcode: u8) -> Result<(), Error> {
        let above = self.pop()?;
        let below = self.pop()?;
        match (opcode, &self.nodes[below], &self.nodes[above]) {
            (STACK_GLOBAL, Node::Plain(Value::Str(module)), Node::Plain(Value::Str(name))) => {
                let class = self.classes.named(module, name)?;
                self.push(Node::Class(class))
            }
            (REDUCE | NEWOBJ, Node::Class(class), Node::Tuple(args)) => {
                if class != "builtins.str" {
                    let made = Node::Exception { class: class.clone(), args: args.clone() };
                    return self.push(made);
                }
                match args.as_slice() {
                    [text] => {
                        self.stack.push(*text);
                        Ok(())
                    }
                    _ => Err(Error::Operand(opcode)),
                }
            }
            // The attributes of an exception say nothing that its arguments do not.
            (BUILD, Node::Exception { .. }, _) => {
                self.stack.push(below);
                Ok(())
            }
            (STACK_GLOBAL, ..) => Err(Error::Operand(opcode)),
            _ => Err(Error::Class("an object".into())),
        }
    }

    /// The object as a value, `depth` levels at most, `items` values at most.
    fn value(&self, node: usize, depth: usize, items: &mut usize) -> Result<Value, Error> {
        // An object may occur many times: a long text is charged as several items each time.
        let cost = match &self.nodes[node] {
            Node::Plain(Value::Str(text)) => 1 + text.len() / 32,
            Node::Plain(Value::Bytes(bytes)) => 1 + bytes.len() / 32,
            _ => 1,
        };
        *items = items.checked_sub(cost).ok_or(Error::Limit("items"))?;
        let below = depth.checked_sub(1).ok_or(Error::Limit("depth"))?;
        let mut all = |nodes: &[usize]| {
            nodes.iter().map(|node| self.value(*node, below, items)).collect::<Result<Vec<_>, _>>()
        };
        Ok(match &self.nodes[node] {
            Node::Plain(value) => value.clone(),
            Node::List(nodes) => Value::List(all(nodes)?),
            Node::Tuple(nodes) => Value::Tuple(all(nodes)?),
            Node::Set(nodes) => Value::Set(all(nodes)?),
            Node::Class(class) => return Err(Error::Class(class.clone())),
            Node::Exception { class, args } => {
                Value::Exception(Exception { class: class.clone(), args: all(args)? })
            }
            Node::Dict(pairs) => {
                let mut dict: Vec<(Value, Value)> = Vec::with_capacity(pairs.len());
                let mut places: HashMap<String, usize> = HashMap::new();
                for (key, value) in pairs {
                    let key = self.value(*key, below, items)?;
                    let value = self.value(*value, below, items)?;
                    // A key that comes again keeps its place and takes the later value.
                    match places.entry(key.repr()) {
                        std::collections::hash_map::Entry::Occupied(place) => dict[*place.get()].1 = value,
                        std::collections::hash_map::Entry::Vacant(place) => {
                            place.insert(dict.len());
                            dict.push((key, value));
                        }
                    }
                }
                Value::Dict(dict)
            }
        })
    }
}

fn pairs(opcode: u8, items: &[usize]) -> Result<Vec<(usize, usize)>, Error> {
    if !items.len().is_multiple_of(2) {
        return Err(Error::OddItems(if opcode == DICT { "DICT" } else { "SETITEMS" }));
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}
