//! Finds every option that a type can be read from, by offering it one after another.

use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// The names of all options below `T`, with `*` for any name.
pub(super) fn options<T: for<'de> Deserialize<'de>>() -> Vec<String> {
    let mut all = Vec::new();
    explore::<T>(&mut Vec::new(), &mut all);
    all
}

fn explore<T: for<'de> Deserialize<'de>>(path: &mut Vec<&'static str>, all: &mut Vec<String>) {
    let mut found = Found::Scalar;
    // What it makes of it is of no interest: it ends with an error on purpose.
    drop(T::deserialize(Probe { path, found: &mut found }));
    match found {
        Found::Scalar => {
            let names: Vec<&str> = match path.as_slice() {
                // A list or map of plain values is one option.
                [names @ .., "*"] => names.to_vec(),
                names => names.to_vec(),
            };
            all.push(names.join("."));
        }
        Found::Fields(names) => {
            for name in names {
                path.push(name);
                explore::<T>(path, all);
                path.pop();
            }
        }
        Found::Many => {
            path.push("*");
            explore::<T>(path, all);
            path.pop();
        }
    }
}

enum Found {
    Scalar,
    Fields(&'static [&'static str]),
    Many,
}

/// Leads a type to one place, and sees what it wants to read there.
struct Probe<'a> {
    path: &'a [&'static str],
    found: &'a mut Found,
}

impl Probe<'_> {
    fn end<V>(self, found: Found) -> Result<V, Error> {
        *self.found = found;
        Err(Error::custom("seen enough"))
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        self.end(Found::Scalar)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.path {
            [] => self.end(Found::Fields(fields)),
            [name, rest @ ..] => {
                let probe = Probe { path: rest, found: self.found };
                visitor.visit_map(One { name: Some(name), probe: Some(probe) })
            }
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.path {
            [] => self.end(Found::Many),
            [_, rest @ ..] => {
                let probe = Probe { path: rest, found: self.found };
                visitor.visit_map(One { name: Some("any"), probe: Some(probe) })
            }
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.path {
            [] => self.end(Found::Many),
            [_, rest @ ..] => {
                let probe = Probe { path: rest, found: self.found };
                visitor.visit_seq(One { name: None, probe: Some(probe) })
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit
        unit_struct tuple tuple_struct enum identifier ignored_any
    }
}

/// One entry, and no more.
struct One<'a> {
    name: Option<&'static str>,
    probe: Option<Probe<'a>>,
}

impl<'de> MapAccess<'de> for One<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let name = self.name.take();
        name.map(|name| seed.deserialize(StrDeserializer::new(name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.probe.take().expect("BUG: a name comes before its value"))
    }
}

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        self.probe.take().map(|probe| seed.deserialize(probe)).transpose()
    }
}
