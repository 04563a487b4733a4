// Memory for keys and values in pages of 16 tokens. Address space is reserved at once, memory comes
// page by page as it is first written. Who owns which page is the business of the engine.

import Glibc
import KernelCore

/// Element type of keys and values.
public enum KVElement: String, Sendable, CaseIterable {
  /// float32: exact.
  case f32
  /// float16, rounded to nearest even, clamped to ±65504.
  case f16
  /// int8 with one float32 scale for each token and head.
  case int8

  var pageElement: PageElement {
    switch self {
    case .f32: .float32
    case .f16: .float16
    case .int8: .int8
    }
  }
}

/// Pages of keys and values: 16 tokens, all heads, of one layer each.
public final class PageStore {
  /// Tokens of a page.
  public static var tokensPerPage: Int { PageGeometry.tokens }

  /// Number of pages.
  public let pages: Int
  /// Element type.
  public let element: KVElement
  let geometry: PageGeometry
  let base: UnsafeMutableRawPointer
  private let byteCount: Int

  /// Reserves address space for `pages` pages; all read as zero.
  public init(pages: Int, heads: Int, headDim: Int, element: KVElement) throws(KernelError) {
    let limit = 1 << 20
    guard pages > 0, heads > 0, headDim > 0, heads <= limit, headDim <= limit,
      pages <= Int(Int32.max),
      case let bytes = pages.multipliedReportingOverflow(
        by: Self.bytesPerPage(heads: heads, headDim: headDim, element: element)
      ),
      !bytes.overflow
    else { throw .pageGeometry(pages: pages, heads: heads, headDim: headDim) }
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let base = mmap(nil, bytes.partialValue, PROT_READ | PROT_WRITE, flags, -1, 0),
      base != MAP_FAILED
    else { throw .reservation(bytes: bytes.partialValue, code: errno) }
    // A hint: pages of a head lie far apart, and huge pages spare most address translations.
    madvise(base, bytes.partialValue, MADV_HUGEPAGE)
    self.pages = pages
    self.element = element
    self.base = base
    byteCount = bytes.partialValue
    geometry = PageGeometry(heads: heads, headDim: headDim, element: element.pageElement)
  }

  deinit { munmap(base, byteCount) }

  /// Attention heads.
  public var heads: Int { geometry.heads }
  /// Elements of a head.
  public var headDim: Int { geometry.headDim }
  /// Bytes of a page of this store.
  public var bytesPerPage: Int { geometry.pageBytes }

  /// Bytes of a page of the given shape.
  public static func bytesPerPage(heads: Int, headDim: Int, element: KVElement) -> Int {
    PageGeometry(heads: heads, headDim: headDim, element: element.pageElement).pageBytes
  }

  /// Copies all tokens of a page to another.
  public func copyPage(from source: Int32, to destination: Int32) {
    address(destination).copyMemory(from: address(source), byteCount: bytesPerPage)
  }

  /// A copy of a page's bytes, meaningful to stores of the same geometry only.
  public func bytes(of page: Int32) -> [UInt8] {
    Array(UnsafeRawBufferPointer(start: address(page), count: bytesPerPage))
  }

  /// Overwrites a page with bytes that came from `bytes(of:)`.
  public func setBytes(_ bytes: [UInt8], of page: Int32) {
    precondition(bytes.count == bytesPerPage, "bytes do not fill a page")
    UnsafeMutableRawBufferPointer(start: address(page), count: bytesPerPage).copyBytes(from: bytes)
  }

  /// Fills a page with bytes that read as NaN, so that a test notices who reads what was not stored.
  public func poison(_ page: Int32) {
    address(page).initializeMemory(as: UInt8.self, repeating: 0xff, count: bytesPerPage)
  }

  /// Gives the memory of a page back to the system as far as it lies in whole system pages; its
  /// contents are unspecified afterwards.
  public func release(_ page: Int32) {
    let granule = UInt(sysconf(Int32(_SC_PAGESIZE)))
    let start = UInt(bitPattern: address(page))
    let first = (start + granule - 1) / granule * granule
    let last = (start + UInt(bytesPerPage)) / granule * granule
    guard last > first, let pointer = UnsafeMutableRawPointer(bitPattern: first) else { return }
    madvise(pointer, Int(last - first), MADV_DONTNEED)
  }

  private func address(_ page: Int32) -> UnsafeMutableRawPointer {
    precondition(page >= 0 && Int(page) < pages, "page outside the store")
    return base + Int(page) * bytesPerPage
  }
}
