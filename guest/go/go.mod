module tinykvm

go 1.19
