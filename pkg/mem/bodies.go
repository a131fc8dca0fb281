package mem

import (
	"fmt"
	"os"
)

// body is an encoded document: in memory, or a place in the file.
type body struct {
	bytes     []byte
	at        int64
	len, room int32
}

// file holds the bodies of a database that shall not count as this process's memory. The caller holds the database's lock.
type file struct {
	f    *os.File
	end  int64
	free map[int32][]int64 // places by their room
}

const grain = 128 // bytes: rooms are multiples, so that a document that grew a little stays where it is

// InFile makes the database keep its documents in a file of that folder ("" for the system's), which is gone with the
// process. Before the first write only. A measurement uses it: Firestore's documents are in no service's memory.
func (db *DB) InFile(dir string) error {
	f, err := os.CreateTemp(dir, "agenttrader-documents-")
	if err != nil {
		return fmt.Errorf("a file for the documents: %w", err)
	}
	db.file = &file{f: f, free: map[int32][]int64{}}
	return os.Remove(f.Name())
}

// Close gives the file back, if there is one.
func (db *DB) Close() error {
	if db.file == nil {
		return nil
	}
	return db.file.f.Close()
}

// load reads a body; nil for none.
func (db *DB) load(b body) ([]byte, error) {
	if b.bytes != nil || b.room == 0 {
		return b.bytes, nil
	}
	p := make([]byte, b.len)
	if _, err := db.file.f.ReadAt(p, b.at); err != nil {
		return nil, fmt.Errorf("read the file of documents: %w", err)
	}
	return p, nil
}

// keep stores a body that takes the place of another, or of none.
func (db *DB) keep(p []byte, old body) (body, error) {
	if db.file == nil {
		return body{bytes: p}, nil
	}
	return db.file.keep(p, old)
}

func (f *file) keep(p []byte, old body) (body, error) {
	b := body{at: old.at, len: int32(len(p)), room: old.room}
	if int(b.room) < len(p) || p == nil {
		f.drop(old)
		b.room = int32((len(p) + grain - 1) / grain * grain)
		if b.room == 0 {
			return body{}, nil
		}
		b.at = f.place(b.room)
	}
	if _, err := f.f.WriteAt(p, b.at); err != nil {
		return body{}, fmt.Errorf("write the file of documents: %w", err)
	}
	return b, nil
}

func (f *file) drop(b body) {
	if b.room > 0 {
		f.free[b.room] = append(f.free[b.room], b.at)
	}
}

func (f *file) place(room int32) int64 {
	if l := f.free[room]; len(l) > 0 {
		f.free[room] = l[:len(l)-1]
		return l[len(l)-1]
	}
	at := f.end
	f.end += int64(room)
	return at
}
