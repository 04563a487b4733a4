// What the Kernels room finds on a machine but not in Embedded Swift: two macros of the C library, and
// the number of threads that Processors.swift would read from the system's files.

import Glibc

var errno: Int32 { __errno_location().pointee }

// swift-format-ignore: AlwaysUseLowerCamelCase
var MAP_FAILED: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: -1) }

/// Stands in for Processors.swift.
public enum Processors {
  /// One: the check names the number of threads itself.
  public static let recommendedThreads = 1
}
