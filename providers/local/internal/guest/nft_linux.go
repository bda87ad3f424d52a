package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// netfilter is a socket to the kernel's packet rules. It is opened before the
// filter on system calls, which refuses it to all that comes later, and is of
// use to init only: nobody else has the capability that a change needs.
type netfilter struct{ fd int }

func openNetfilter() netfilter {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return netfilter{-1} // asked for later, if at all
	}
	return netfilter{fd}
}

const tableName = "compute"

// redirect sends all connections that leave the loopback network to a port of
// 127.0.0.1, and all questions to name servers to another. It replaces what an
// earlier call has set.
func (n netfilter) redirect(tcp, dns uint16) error {
	if n.fd < 0 {
		return errors.New("nf_tables is not there")
	}
	var b batch
	b.table(unix.NFT_MSG_NEWTABLE) // so that there is one to remove
	b.table(unix.NFT_MSG_DELTABLE)
	b.table(unix.NFT_MSG_NEWTABLE)
	b.chain()
	const destination, protocol = 16, 9 // offsets in an IPv4 header
	b.rule(load(1, destination, 1), equal(127), accept())
	b.rule(load(1, protocol, 1), equal(unix.IPPROTO_TCP), port(tcp), redir())
	b.rule(load(1, protocol, 1), equal(unix.IPPROTO_UDP), load(2, 2, 2), equal(0, 53), port(dns), redir())
	return b.send(n.fd)
}

// A batch is a list of messages that the kernel takes all or none of.
type batch struct {
	buf []byte
	seq uint32
}

func (b *batch) message(kind uint16, flags uint16, family byte, res uint16, attrs ...[]byte) {
	body := []byte{family, 0, 0, 0}
	binary.BigEndian.PutUint16(body[2:], res)
	for _, a := range attrs {
		body = append(body, a...)
	}
	b.seq++
	b.buf = binary.NativeEndian.AppendUint32(b.buf, uint32(unix.NLMSG_HDRLEN+len(body)))
	b.buf = binary.NativeEndian.AppendUint16(b.buf, kind)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, unix.NLM_F_REQUEST|flags)
	b.buf = binary.NativeEndian.AppendUint32(b.buf, b.seq)
	b.buf = append(append(b.buf, 0, 0, 0, 0), body...)
}

func (b *batch) nft(kind, flags uint16, attrs ...[]byte) {
	b.message(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags, unix.NFPROTO_IPV4, 0, attrs...)
}

func (b *batch) table(kind uint16) {
	b.nft(kind, unix.NLM_F_CREATE, text(unix.NFTA_TABLE_NAME, tableName))
}

func (b *batch) chain() {
	const local, natPriority = 3, -100 // NF_INET_LOCAL_OUT; the priority of translation
	priority := int32(natPriority)
	b.nft(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE,
		text(unix.NFTA_CHAIN_TABLE, tableName), text(unix.NFTA_CHAIN_NAME, "output"),
		nested(unix.NFTA_CHAIN_HOOK, number(unix.NFTA_HOOK_HOOKNUM, local), number(unix.NFTA_HOOK_PRIORITY, uint32(priority))),
		text(unix.NFTA_CHAIN_TYPE, "nat"))
}

func (b *batch) rule(expressions ...[]byte) {
	b.nft(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND,
		text(unix.NFTA_RULE_TABLE, tableName), text(unix.NFTA_RULE_CHAIN, "output"),
		nested(unix.NFTA_RULE_EXPRESSIONS, expressions...))
}

// send has the kernel carry the batch out. It answers errors for each message,
// and for the last, which asks for it, success too.
func (b *batch) send(fd int) error {
	var all batch
	all.message(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	last := unix.NLM_F_ACK | binary.NativeEndian.Uint16(b.buf[b.lastAt()+6:])
	binary.NativeEndian.PutUint16(b.buf[b.lastAt()+6:], last)
	all.buf = append(all.buf, b.buf...)
	all.message(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	if err := netlinkSend(fd, all.buf); err != nil {
		return fmt.Errorf("nf_tables: %w", err)
	}
	return nil
}

// lastAt is where the last message begins.
func (b *batch) lastAt() int {
	at := 0
	for next := 0; next < len(b.buf); {
		at = next
		next += int(binary.NativeEndian.Uint32(b.buf[at:]))
	}
	return at
}

// netlinkSend sends messages and returns the first error of the answer.
func netlinkSend(fd int, messages []byte) error {
	patience := unix.NsecToTimeval(int64(5 * time.Second))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		return err
	}
	if err := unix.Sendto(fd, messages, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 8<<10)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return err
	}
	if n < unix.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint16(buf[4:]) != unix.NLMSG_ERROR {
		return unix.EBADMSG
	}
	if errno := int32(binary.NativeEndian.Uint32(buf[unix.NLMSG_HDRLEN:])); errno != 0 {
		discardAnswers(fd)
		return unix.Errno(-errno)
	}
	return nil
}

// discardAnswers empties the socket, for the next who asks.
func discardAnswers(fd int) {
	buf := make([]byte, 8<<10)
	for {
		if _, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT); err != nil {
			return
		}
	}
}

// Attributes, as netlink has them: length, type, value, padding.

func attribute(kind uint16, value []byte) []byte {
	a := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	a = append(binary.NativeEndian.AppendUint16(a, kind), value...)
	for len(a)%4 != 0 {
		a = append(a, 0)
	}
	return a
}

func nested(kind uint16, parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return attribute(kind|unix.NLA_F_NESTED, all)
}

func text(kind uint16, s string) []byte { return attribute(kind, append([]byte(s), 0)) }

func number(kind uint16, n uint32) []byte {
	return attribute(kind, binary.BigEndian.AppendUint32(nil, n))
}

// Expressions of a rule. Each works on register 1.

const register = unix.NFT_REG_1

func expression(name string, attrs ...[]byte) []byte {
	return nested(unix.NFTA_LIST_ELEM, text(unix.NFTA_EXPR_NAME, name), nested(unix.NFTA_EXPR_DATA, attrs...))
}

// load loads n bytes of a packet, from its network header (1) or transport
// header (2).
func load(header, offset, n uint32) []byte {
	return expression("payload", number(unix.NFTA_PAYLOAD_DREG, register), number(unix.NFTA_PAYLOAD_BASE, header),
		number(unix.NFTA_PAYLOAD_OFFSET, offset), number(unix.NFTA_PAYLOAD_LEN, n))
}

func equal(value ...byte) []byte {
	return expression("cmp", number(unix.NFTA_CMP_SREG, register), number(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ),
		nested(unix.NFTA_CMP_DATA, attribute(unix.NFTA_DATA_VALUE, value)))
}

func accept() []byte {
	const netfilterAccept = 1
	return expression("immediate", number(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT),
		nested(unix.NFTA_IMMEDIATE_DATA, nested(unix.NFTA_DATA_VERDICT, number(unix.NFTA_VERDICT_CODE, netfilterAccept))))
}

func port(n uint16) []byte {
	return expression("immediate", number(unix.NFTA_IMMEDIATE_DREG, register),
		nested(unix.NFTA_IMMEDIATE_DATA, attribute(unix.NFTA_DATA_VALUE, binary.BigEndian.AppendUint16(nil, n))))
}

func redir() []byte {
	const portGiven = 2 // NF_NAT_RANGE_PROTO_SPECIFIED
	return expression("redir", number(unix.NFTA_REDIR_REG_PROTO_MIN, register), number(unix.NFTA_REDIR_FLAGS, portGiven))
}
