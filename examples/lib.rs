//! Programs that use Atlas: see the examples of this package.
