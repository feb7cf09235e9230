module program

go 1.19

require tinykvm v0.0.0

replace tinykvm => ../../../guest/go
