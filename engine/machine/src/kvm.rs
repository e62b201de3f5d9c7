//! A VM in this process, on a stock kernel.
